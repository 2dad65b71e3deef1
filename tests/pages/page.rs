//! A page as a Markdown parser sees it.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::path::{Path, PathBuf};

/// What a page has that can be checked.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Where its links and images lead.
    pub(crate) links: Vec<String>,
    /// The anchors of its headings, as GitHub makes them.
    pub(crate) anchors: Vec<String>,
    /// Code in the text, as it is written.
    pub(crate) code: Vec<String>,
    /// Blocks of code, each with its language.
    pub(crate) blocks: Vec<(String, String)>,
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The page at `path` in the repository.
pub(crate) fn read(path: &str) -> Page {
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    Page::new(&text)
}

impl Page {
    pub(crate) fn new(text: &str) -> Self {
        let mut page = Self::default();
        let mut heading: Option<String> = None;
        let mut block: Option<(String, String)> = None;
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().unwrap_or_default());
                    let earlier = page.anchors.iter().filter(|other| **other == anchor).count();
                    page.anchors.push(if earlier == 0 { anchor } else { format!("{anchor}-{earlier}") });
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                    block = Some((language.into_string(), String::new()));
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Code(code) => {
                    heading.iter_mut().for_each(|heading| heading.push_str(&code));
                    page.code.push(code.into_string());
                }
                Event::Text(text) => {
                    heading.iter_mut().for_each(|heading| heading.push_str(&text));
                    block.iter_mut().for_each(|(_, block)| block.push_str(&text));
                }
                _ => {}
            }
        }
        page
    }
}

/// "What happens when…" is `what-happens-when`.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}
