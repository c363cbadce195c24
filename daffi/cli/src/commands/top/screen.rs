//! The terminal as a whole, drawn anew at each look.

use std::{collections::VecDeque, io, thread, time::Duration};

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
    time::sleep,
};

use super::{
    plain::{is_text, widths},
    told::{self, Told},
    view::{Choice, LONG, Sheet, View},
};
use crate::failure::Failure;

/// How long a key that ends it may wait for the thread that listens.
const LISTEN: Duration = Duration::from_millis(200);

/// The terminal, which is as it was before once this is dropped.
struct Screen(DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        // One that was closed takes nothing any more.
        let _gone = ratatui::try_restore();
    }
}

/// A key that was pressed, or what else asks for another picture.
enum Key {
    Pressed(KeyCode),
    Quit,
    Resized,
}

/// What is shown, and what is written below it.
struct Showing {
    /// The looks of the last seconds, in order: those before the one that was [`LONG`] ago are
    /// forgotten.
    looks: VecDeque<Told>,
    now: Told,
    choice: Choice,
    /// Rows of nodes above the first that is shown.
    skipped: usize,
    /// The filter is being written.
    writes: bool,
    /// Why the last look failed.
    trouble: Option<String>,
}

/// Shows each look until q, Esc or Ctrl-C. A router that is gone is asked again.
pub(super) async fn show(client: &Client, first: Told, every: Duration) -> Result<(), Failure> {
    let mut screen = Screen(ratatui::try_init().map_err(drawing_failure)?);
    let mut keys = keys();
    let mut shown = Showing::new(first);
    let mut looking = Box::pin(look(client, every));
    loop {
        let view = shown.view();
        screen.0.draw(|frame| draw(frame, &view, &shown)).map_err(drawing_failure)?;
        tokio::select! {
            key = keys.recv() => match key {
                Some(Key::Pressed(code)) if !shown.obey(code, view.nodes.rows.len()) => return Ok(()),
                Some(Key::Pressed(_) | Key::Resized) => {}
                Some(Key::Quit) | None => return Ok(()),
            },
            looked = &mut looking => {
                shown.take(looked);
                looking = Box::pin(look(client, every));
            }
        }
    }
}

async fn look(client: &Client, every: Duration) -> Result<Told, Failure> {
    sleep(every).await;
    told::read(super::ask(client).await?)
}

impl Showing {
    fn new(first: Told) -> Self {
        Self { looks: VecDeque::new(), now: first, choice: Choice::default(), skipped: 0, writes: false, trouble: None }
    }

    fn view(&self) -> View {
        let earlier = self.looks.front().filter(|look| self.was_long_ago(look));
        View::of(self.looks.back().unwrap_or(&self.now), earlier, &self.now, &self.choice)
    }

    fn was_long_ago(&self, look: &Told) -> bool {
        self.now.age - look.age >= LONG
    }

    fn take(&mut self, looked: Result<Told, Failure>) {
        match looked {
            Ok(now) => {
                let before = std::mem::replace(&mut self.now, now);
                // A router that was started again counts anew.
                if before.age > self.now.age {
                    self.looks.clear();
                }
                self.looks.push_back(before);
                while self.looks.get(1).is_some_and(|next| self.was_long_ago(next)) {
                    self.looks.pop_front();
                }
                self.trouble = None;
            }
            Err(failure) => self.trouble = Some(failure.sentence().to_owned()),
        }
    }

    /// Does what a key says. `false`: it ends the command. `rows`: how many nodes are shown.
    fn obey(&mut self, code: KeyCode, rows: usize) -> bool {
        match code {
            KeyCode::Char(sign) if self.writes => self.choice.filter.push(sign),
            KeyCode::Backspace if self.writes => drop(self.choice.filter.pop()),
            KeyCode::Enter => self.writes = false,
            KeyCode::Esc if self.writes || !self.choice.filter.is_empty() => {
                self.writes = false;
                self.choice.filter.clear();
            }
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('/') => self.writes = true,
            KeyCode::Char('s') => self.choice.turn(),
            KeyCode::Char('r') => self.choice.reversed = !self.choice.reversed,
            KeyCode::Down | KeyCode::Char('j') => self.skipped += 1,
            KeyCode::PageDown => self.skipped += 20,
            KeyCode::Up | KeyCode::Char('k') => self.skipped = self.skipped.saturating_sub(1),
            KeyCode::PageUp => self.skipped = self.skipped.saturating_sub(20),
            _ => {}
        }
        self.skipped = self.skipped.min(rows.saturating_sub(1));
        true
    }

    /// The line at the bottom.
    fn help(&self) -> Line<'_> {
        let Choice { filter, reversed, .. } = &self.choice;
        match &self.trouble {
            _ if self.writes => Line::from(format!("names with: {filter}_   Enter takes it, Esc forgets it")),
            Some(trouble) => Line::from(format!("asking again: {trouble}")).red(),
            None => {
                let filter = if filter.is_empty() { String::new() } else { format!(" of names with {filter}") };
                let order = if *reversed { ", turned round" } else { "" };
                let now = format!("sorted by {}{order}{filter}", self.choice.sorted_by());
                Line::from(format!("q ends, / filters, s sorts, r turns round, arrows scroll: {now}")).dim()
            }
        }
    }
}

fn drawing_failure(error: io::Error) -> Failure {
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
                    Ok(event) => {
                        if let Some(key) = meaning(&event)
                            && sender.send(key).is_err()
                        {
                            return;
                        }
                    }
                    Err(_) => return,
                },
                Err(_) => return,
            }
        }
    });
    keys
}

fn meaning(event: &Event) -> Option<Key> {
    match event {
        Event::Resize(..) => Some(Key::Resized),
        Event::Key(key) if key.kind == KeyEventKind::Release => None,
        Event::Key(key) if key.modifiers.contains(KeyModifiers::CONTROL) => {
            (key.code == KeyCode::Char('c')).then_some(Key::Quit)
        }
        Event::Key(key) => Some(Key::Pressed(key.code)),
        _ => None,
    }
}

fn draw(frame: &mut Frame<'_>, view: &View, shown: &Showing) {
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
    frame.render_widget(table(&view.nodes, shown.skipped), nodes);
    frame.render_widget(shown.help(), help);
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
