//! The terminal as a whole, drawn anew at each look.

use std::{io, thread, time::Duration};

use daffi::Client;
use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
    layout::{Alignment, Constraint, Layout},
    style::{Style, Stylize},
    text::{Line, Text},
    widgets::{Cell, Paragraph, Row, Table},
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{MissedTickBehavior, interval},
};

use super::{
    plain::{is_text, widths},
    told::{self, Told},
    view::{Sheet, View},
};
use crate::failure::Failure;

/// How long a key that ends it may wait for the thread that listens.
const LISTEN: Duration = Duration::from_millis(200);

/// The terminal, which is as it was before once this is dropped.
struct Screen(DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// A key that means something.
enum Key {
    Quit,
    /// So many rows down, or up.
    Scroll(i32),
}

/// Shows each look until q, Esc or Ctrl-C.
pub(super) async fn show(client: &Client, first: Told, every: Duration) -> Result<(), Failure> {
    let mut screen = Screen(ratatui::try_init().map_err(broken)?);
    let mut keys = keys();
    let (mut before, mut view, mut skipped) = (first.clone(), View::of(&first, &first), 0);
    let mut looks = interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.reset();
    loop {
        screen.0.draw(|frame| draw(frame, &view, skipped)).map_err(broken)?;
        tokio::select! {
            key = keys.recv() => match key {
                Some(Key::Scroll(rows)) => skipped = (skipped + rows).clamp(0, rows_of(&view)),
                Some(Key::Quit) | None => return Ok(()),
            },
            _ = looks.tick() => {
                let now = told::read(super::ask(client).await?)?;
                view = View::of(&before, &now);
                before = now;
            }
        }
    }
}

fn rows_of(view: &View) -> i32 {
    i32::try_from(view.nodes.rows.len().saturating_sub(1)).unwrap_or(i32::MAX)
}

fn broken(error: io::Error) -> Failure {
    Failure::Failed(format!("the terminal cannot be drawn on: {error}; --once prints one table"))
}

/// Keys, from a thread that ends soon after nobody takes them.
fn keys() -> UnboundedReceiver<Key> {
    let (sender, keys) = unbounded_channel();
    thread::spawn(move || {
        while !sender.is_closed() {
            match event::poll(LISTEN) {
                Ok(false) => {}
                Ok(true) => match event::read() {
                    Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                        if let Some(key) = meaning(key.code, key.modifiers)
                            && sender.send(key).is_err()
                        {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => return,
                },
                Err(_) => return,
            }
        }
    });
    keys
}

fn meaning(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
    match code {
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Scroll(1)),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Scroll(-1)),
        KeyCode::PageDown => Some(Key::Scroll(20)),
        KeyCode::PageUp => Some(Key::Scroll(-20)),
        _ => None,
    }
}

fn draw(frame: &mut Frame<'_>, view: &View, skipped: i32) {
    let rows = |sheet: &Sheet| u16::try_from(sheet.rows.len() + 1).unwrap_or(u16::MAX);
    let causes = u16::try_from(view.causes.len()).unwrap_or(0);
    let third = frame.area().height / 3;
    let parts = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(causes),
        Constraint::Length(rows(&view.callbacks).min(third.max(4)) + 1),
        Constraint::Min(2),
        Constraint::Length(1),
    ]);
    let [about, why, callbacks, nodes, help] = parts.areas(frame.area());
    frame.render_widget(Paragraph::new(view.about.as_str()).wrap(ratatui::widgets::Wrap { trim: true }), about);
    frame.render_widget(Paragraph::new(view.causes.join("\n")).red(), why);
    frame.render_widget(table(&view.callbacks, 0), callbacks);
    frame.render_widget(table(&view.nodes, usize::try_from(skipped).unwrap_or(0)), nodes);
    frame.render_widget(Line::from("q ends, up and down scroll the nodes").dim(), help);
}

fn table(sheet: &Sheet, skipped: usize) -> Table<'_> {
    let aligned = |column: usize, text: &str| {
        let side = if is_text(sheet, column) { Alignment::Left } else { Alignment::Right };
        Cell::from(Text::from(text.to_owned()).alignment(side))
    };
    let heads = sheet.heads.iter().enumerate().map(|(column, head)| aligned(column, head));
    let rows = sheet.rows.iter().skip(skipped);
    let rows = rows.map(|row| Row::new(row.iter().enumerate().map(|(column, text)| aligned(column, text))));
    let widths = widths(sheet).into_iter().map(|width| Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX)));
    Table::new(rows, widths).header(Row::new(heads).style(Style::new().bold())).column_spacing(2)
}
