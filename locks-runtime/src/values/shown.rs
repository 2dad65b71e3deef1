//! What others wrote, made fit to be shown: records from a store, texts of servers, names of locks.
//!
//! A terminal obeys escape codes, a log is read by lines, and a server may answer with a page of HTML. So everything that comes
//! from elsewhere is shown through here: what cannot be seen is escaped, and what is long is cut.

use std::error::Error as StdError;
use std::fmt::{self, Display, Write};

/// The longest text of one error, in characters.
pub(crate) const LONGEST_TEXT: usize = 1_000;

/// The longest chain of causes, in characters, and how many causes it names.
const LONGEST_CHAIN: usize = 2_000;
const MOST_CAUSES: usize = 12;

/// What others wrote, such as the records of holders, fit to be shown in one line of a terminal, a log or a page: what a reader does
/// not see, or what changes the text around it, is escaped, and what is long is cut. Markup is no concern of it.
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// use distributed_locks::store::Shown;
///
/// assert_eq!(Shown::new("a\u{1b}[2J\nb", 100).to_string(), r"a\u{1b}[2J\nb");
/// assert_eq!(Shown::new("report", 3).to_string(), "rep…");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Shown<T> {
    what: T,
    longest: usize,
}

impl<T: Display> Shown<T> {
    /// `what`, of which at most `longest` characters are shown.
    #[must_use]
    pub fn new(what: T, longest: usize) -> Self {
        Self { what, longest }
    }
}

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fitting = Fitting { to: f, left: self.longest, is_cut: false };
        let written = write!(fitting, "{}", self.what);
        // What was cut ends the writing as an error does.
        if fitting.is_cut { f.write_char('…') } else { written }
    }
}

/// An error with everything that it was caused by, in one line.
#[derive(Clone, Copy)]
pub(crate) struct Chain<'a>(&'a (dyn StdError + 'static));

impl<'a> Chain<'a> {
    /// `error`, and its causes.
    pub(crate) fn of(error: &'a (dyn StdError + 'static)) -> Self {
        Self(error)
    }

    fn levels(self) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
        std::iter::successors(Some(self.0), |error: &&'a (dyn StdError + 'static)| (**error).source()).take(MOST_CAUSES)
    }

    /// Whether every text of it is fit to be shown as it is.
    pub(crate) fn is_fit(self) -> bool {
        self.levels().all(|error| {
            let mut text = Checking { left: LONGEST_TEXT };
            write!(text, "{error}").is_ok()
        })
    }
}

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chain = String::new();
        let mut last = String::new();
        for error in self.levels() {
            let text = Shown::new(error, LONGEST_TEXT).to_string();
            // Some errors say themselves what their cause says.
            if !last.contains(&text) {
                let colon = if chain.is_empty() { "" } else { ": " };
                write!(chain, "{colon}{text}")?;
                last = text;
            }
        }
        Shown::new(chain, LONGEST_CHAIN).fmt(f)
    }
}

/// `text`, unchanged if it is fit to be shown.
pub(crate) fn fit(text: String, longest: usize) -> String {
    let mut check = Checking { left: longest };
    if check.write_str(&text).is_ok() { text } else { Shown::new(text, longest).to_string() }
}

/// `text` as it is, but not longer than `longest` characters.
pub(crate) fn cut(text: &str, longest: usize) -> Option<String> {
    let (end, _) = text.char_indices().nth(longest)?;
    Some(format!("{}…", &text[..end]))
}

/// Whether a reader would not see this character, or it would change what is around it: controls, what sets the direction of
/// text, what has no width, separators of lines.
fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

struct Fitting<'a, 'b> {
    to: &'a mut fmt::Formatter<'b>,
    left: usize,
    is_cut: bool,
}

impl Write for Fitting<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            if self.left == 0 {
                self.is_cut = true;
                return Err(fmt::Error);
            }
            self.left -= 1;
            if is_hidden(letter) {
                write!(self.to, "{}", letter.escape_default())?;
            } else {
                self.to.write_char(letter)?;
            }
        }
        Ok(())
    }
}

/// Fails at the first character that is hidden or too much.
struct Checking {
    left: usize,
}

impl Write for Checking {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            if is_hidden(letter) {
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io;

    proptest! {
        #[test]
        fn what_is_shown_is_one_visible_line_of_bounded_length(
            text in "\\PC{0,30}|[\\x00-\\x1f\\x7f-\\xa0a\u{200b}-\u{202e}\u{2066}\u{feff}]{0,30}",
            longest in 0..40_usize,
        ) {
            let shown = Shown::new(&text, longest).to_string();
            prop_assert!(!shown.contains(is_hidden), "{shown:?}");
            prop_assert!(shown.chars().count() <= longest * 10 + 1, "{shown:?}");
            if text.chars().count() <= longest && !text.contains(is_hidden) {
                prop_assert_eq!(&shown, &text);
            }
            prop_assert_eq!(fit(text, longest), shown);
        }
    }

    #[test]
    fn escape_codes_and_directions_are_escaped() {
        let shown = |text: &str| Shown::new(text, 100).to_string();
        assert_eq!(shown("\u{1b}[2Ja\nb"), "\\u{1b}[2Ja\\nb");
        assert_eq!(shown("a\u{202e}b\u{2066}c\u{200b}"), "a\\u{202e}b\\u{2066}c\\u{200b}");
        assert_eq!(shown("Grüße, 世界 🔒"), "Grüße, 世界 🔒");
    }

    #[test]
    fn a_chain_names_every_cause_once_within_bounds() {
        #[derive(Debug)]
        struct Level(&'static str, Option<Box<Level>>);
        impl Display for Level {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl StdError for Level {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                self.1.as_deref().map(|level| level as _)
            }
        }
        let level = |text, cause: Level| Level(text, Some(Box::new(cause)));
        let error = level("no answer", level("db error", level("db error", Level("out of\nmemory", None))));
        assert_eq!(Chain::of(&error).to_string(), "no answer: db error: out of\\nmemory");
        assert!(!Chain::of(&error).is_fit());
        let page = io::Error::other("<html>".repeat(4_000_000));
        assert!(Chain::of(&page).to_string().chars().count() <= LONGEST_TEXT + 1);
        assert!(!Chain::of(&page).is_fit() && Chain::of(&Level("fine", None)).is_fit());
        let endless = (0..1_000).fold(Level("the end", None), |cause, _| level("abc", level("xyz", cause)));
        assert!(Chain::of(&endless).to_string().len() < 200);
    }
}
