//! What the drawings of all commands are made of. Classes have a prefix, because a page that holds a picture shares its
//! style.

use std::fmt;

/// The head of a picture; its parts have the prefix `name`. What tells it to those who do not see it follows.
pub(crate) fn head(f: &mut fmt::Formatter<'_>, name: &str, width: f64, height: f64, told_by: &str) -> fmt::Result {
    writeln!(
        f,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"{name}-picture\" width=\"{width}\" \
         height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{told_by}\">"
    )
}

/// What the picture stands on, in the style of its parts.
pub(crate) fn paper(f: &mut fmt::Formatter<'_>, name: &str, width: f64, height: f64, style: &str) -> fmt::Result {
    writeln!(f, "<style>{style}</style>")?;
    writeln!(f, "<rect class=\"{name}-paper\" width=\"{width}\" height=\"{height}\"/>")
}

pub(crate) fn text(f: &mut fmt::Formatter<'_>, class: &str, x: f64, y: f64, text: &str) -> fmt::Result {
    writeln!(f, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escaped(text))
}

pub(crate) fn line(f: &mut fmt::Formatter<'_>, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> fmt::Result {
    writeln!(f, "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>")
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
