//! One look as text.

use textwrap::core::display_width;

use super::view::{Sheet, View};

pub(super) fn text(view: &View) -> String {
    let mut parts = vec![view.about.clone()];
    parts.extend((!view.causes.is_empty()).then(|| view.causes.join("\n")));
    parts.extend([&view.callbacks, &view.nodes].into_iter().filter(|sheet| !sheet.rows.is_empty()).map(lines));
    parts.join("\n\n")
}

/// Columns: names and addresses to the left, numbers to the right.
pub(crate) fn lines(sheet: &Sheet) -> String {
    let widths = widths(sheet);
    let heads: Vec<_> = sheet.heads.iter().map(ToString::to_string).collect();
    let lines = std::iter::once(&heads).chain(&sheet.rows).map(|row| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (text, width))| {
            let blanks = " ".repeat(width.saturating_sub(display_width(text)));
            if is_text(sheet, column) { format!("{text}{blanks}") } else { format!("{blanks}{text}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether a column is of text.
pub(super) fn is_text(sheet: &Sheet, column: usize) -> bool {
    column == 0 || sheet.heads[column] == "ADDRESS"
}

/// The widest text of each column.
pub(super) fn widths(sheet: &Sheet) -> Vec<usize> {
    let columns = sheet.heads.iter().enumerate();
    let widest = |(column, head): (usize, &&str)| {
        let cells = sheet.rows.iter().filter_map(|row| row.get(column)).map(|text| display_width(text));
        cells.chain([head.len()]).max().unwrap_or(0)
    };
    columns.map(widest).collect()
}
