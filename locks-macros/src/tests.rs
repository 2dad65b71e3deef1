//! Snapshots of expansions, and properties of the attribute on any tokens: it never panics, and returns either a locked
//! function or errors beside the unchanged function.

use crate::args;
use crate::errors::Errors;
use crate::names::{ARGUMENTS, Attribute, LEADERS};
use crate::template::{self, Piece};
use crate::{expand, expand_or_report};
use proc_macro2::{Span, TokenStream, TokenTree};
use proptest::prelude::*;
use quote::{ToTokens, quote};
use std::path::Path;
use syn::LitStr;

/// Compares the expansion of `snapshots/name.rs` with `snapshots/name.expanded.rs`; `UPDATE_SNAPSHOTS=1` writes the latter.
fn assert_snapshot(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots");
    let source = std::fs::read_to_string(folder.join(format!("{name}.rs"))).unwrap();
    let (attribute, item) = attribute_and_item(source.parse().unwrap());
    let which = if source.starts_with("#[leader") { Attribute::Leader } else { Attribute::DistributedLock };
    let expanded = expand(which, attribute, item).unwrap_or_else(|errors| panic!("{errors}"));
    let expanded = prettyplease::unparse(&syn::parse2(expanded).unwrap());
    let snapshot = folder.join(format!("{name}.expanded.rs"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&snapshot, &expanded).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&snapshot).unwrap_or_default(), expanded, "see {}", snapshot.display());
}

/// `#[distributed_lock(attribute)] item`
fn attribute_and_item(source: TokenStream) -> (TokenStream, TokenStream) {
    let mut tokens = source.into_iter();
    let Some(TokenTree::Group(brackets)) = tokens.nth(1) else { panic!("the file must start with the attribute") };
    let Some(TokenTree::Group(attribute)) = brackets.stream().into_iter().nth(1) else { panic!("no arguments") };
    (attribute.stream(), tokens.collect())
}

macro_rules! snapshots {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            assert_snapshot(stringify!($name));
        }
    )*};
}

snapshots! {
    async_fn
    async_trait_method
    leader
    method_with_guard_and_client
    or_instead_of_the_return_type
    plain_fn
    returned_future
    several_keys
    tokio_main_outside
}

/// Tokens beside the names of arguments, valid somewhere or nowhere.
const WORDS: [&str; 50] = [
    "r#key",
    "cancel",
    "continue",
    "=",
    "=",
    "=",
    "=",
    ",",
    ",",
    ",",
    ",",
    "\"/a/{job}\"",
    "\"{}\"",
    "\"<job>\"",
    "\"{self.x}\"",
    "\"{job:>4}\"",
    "\"{{\"",
    "\"\"",
    "\"1m30s\"",
    "\"\\n\"",
    "b\"x\"",
    "c\"x\"",
    "'x'",
    "10",
    "0",
    "1.5",
    "10s",
    "0x1F",
    "99999999999999999999999999",
    "-",
    "true",
    "job",
    "_",
    "self",
    "Self",
    "error",
    "::",
    ".",
    "&",
    "*",
    "#",
    "!",
    "?",
    "|",
    "=>",
    "'a",
    "async",
    "$",
    "<",
    ">",
];

const ITEMS: [&str; 24] = [
    "async fn run(job: &str) -> Result<(), Error> { body() }",
    "pub(crate) async fn run<'a, T: Clone>(mut job: T, (a, b): (u8, u8)) -> Option<T> where T: 'a { None }",
    "async fn run(&self, job: u8) {}",
    "fn run(self: Box<Self>, job: u8) -> u8 { 1 }",
    "fn run(job: u8) -> impl Future<Output = ()> { let x = 1; async move { x } }",
    "fn run(job: u8) -> Pin<Box<dyn Future<Output = ()> + Send>> { Box::pin(async move {}) }",
    "fn run(job: u8) -> Pin<Box<dyn Future<Output = ()>>> { Box::pin(other()) }",
    "async fn run(job: u8) -> ! { loop {} }",
    "async fn run();",
    "const fn run() {}",
    "extern \"C\" fn run() {}",
    "unsafe fn run(job: u8, ...) {}",
    "struct Run { job: u8 }",
    "impl Run { async fn run(&self) {} }",
    "trait Run { async fn run(&self); }",
    "mod run {}",
    "5",
    "",
    "#[doc = \"x\"] #[must_use] async fn r#async(r#job: u8) -> u8 { #![inner] 1 }",
    "async fn run(job: impl Display) -> Result<impl Display, Error> { Ok(job) }",
    "fn run() { async {} }",
    "fn run(key: u8, client: u8, options: u8, site: u8, guard: u8, error: u8) {}",
    "async fn",
    "fn run(job: u8) -> impl Future<Output = Result<(), E>> + '_ { async { Ok(()) } }",
];

fn argument_names() -> Vec<&'static str> {
    ARGUMENTS.into_iter().chain(LEADERS).map(|(name, _)| name).collect()
}

/// Tokens in any order, with groups.
fn tokens() -> impl Strategy<Value = String> {
    let word = prop::sample::select([argument_names(), WORDS.to_vec()].concat()).prop_map(str::to_owned);
    let text = "\\PC{0,12}".prop_map(|text| format!("{text:?}"));
    let leaf = prop_oneof![8 => word, 1 => text];
    leaf.prop_recursive(3, 40, 12, |inner| {
        let some = prop::collection::vec(inner, 0..12).prop_map(|words| words.join(" "));
        (some, 0..6_u8).prop_map(|(words, around)| match around {
            0 => format!("({words})"),
            1 => format!("[{words}]"),
            2 => format!("{{{words}}}"),
            _ => words,
        })
    })
}

/// `name = value`, mostly well formed, sometimes twice or with the wrong kind of value.
fn arguments() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        3 => prop::sample::select(&WORDS[11..]).prop_map(str::to_owned),
        1 => tokens(),
    ];
    let argument = (prop::sample::select([argument_names(), WORDS[..1].to_vec()].concat()), value)
        .prop_map(|(name, value)| format!("{name} = {value}"));
    prop::collection::vec(argument, 0..5).prop_map(|arguments| arguments.join(", "))
}

fn item() -> impl Strategy<Value = String> {
    prop_oneof![4 => prop::sample::select(&ITEMS[..]).prop_map(str::to_owned), 1 => tokens()]
}

fn whole(attribute: &str, item: &str) -> Option<(TokenStream, TokenStream)> {
    Some((attribute.parse().ok()?, item.parse().ok()?))
}

/// Whether `tokens` are a function, of a module or of an `impl`.
fn is_a_function(tokens: &TokenStream) -> bool {
    syn::parse2::<syn::ItemFn>(tokens.clone()).is_ok()
}

fn expand_any(attribute: &str, item: &str) -> Result<(), TestCaseError> {
    // The compiler never passes text that is not tokens.
    let Some((attribute, item)) = whole(attribute, item) else { return Ok(()) };
    for which in [Attribute::DistributedLock, Attribute::Leader] {
        let expanded = expand_or_report(which, attribute.clone(), &item);
        match expand(which, attribute.clone(), item.clone()) {
            Ok(_) => prop_assert!(is_a_function(&expanded), "no function: {expanded}"),
            Err(errors) => {
                let expanded = expanded.to_string();
                prop_assert!(expanded.ends_with(&quote!(#[allow(unused_variables)] #item).to_string()), "{expanded}");
                prop_assert!(expanded.contains("compile_error"), "{expanded}");
                for error in errors {
                    let message = error.to_string();
                    prop_assert!(!message.is_empty() && !message.contains('\n'), "{message}");
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_tokens_are_expanded_or_refused(attribute in tokens(), item in item()) {
        expand_any(&attribute, &item)?;
    }

    #[test]
    fn any_arguments_are_expanded_or_refused(attribute in arguments(), item in item()) {
        expand_any(&attribute, &item)?;
    }

    #[test]
    fn any_key_is_expanded_or_refused(template in "\\PC{0,24}|([{}<>:/. a-z0-9_&*()'\"!|-]|job|self|\\{job|<job>|\\{\\{){0,24}", item in item()) {
        expand_any(&format!("key = {template:?}"), &item)?;
    }

    /// The parsed value of every argument is what was written, in any order.
    #[test]
    fn well_formed_arguments_are_parsed_as_they_are_written(
        order in Just(vec![0_usize, 1, 2, 3, 4, 5, 6]).prop_shuffle(),
        count in 0..8_usize,
        seconds in 1..31_557_600_u64,
        text in "[a-zA-Z0-9 /:.é🔒-]{1,20}",
        word in "[a-z][a-z0-9_]{2,8}x",
        comma: bool,
    ) {
        let all = [
            format!("key = {text:?}"),
            format!("ttl = {seconds}"),
            format!("wait = \"{seconds}s\""),
            format!("or = Err({word}::<A, B>(error, |a, b| a))"),
            format!("guard = {word}"),
            format!("client = &self.{word}"),
            format!("name = {text:?}"),
        ];
        let chosen: Vec<&str> = order.iter().take(count).map(|which| all[*which].as_str()).collect();
        let written = format!("{}{}", chosen.join(", "), if comma && count > 0 { "," } else { "" });
        let mut errors = Errors::default();
        let args = args::parse(Attribute::DistributedLock, written.parse().unwrap(), &mut errors);
        prop_assert!(errors.finish().is_ok(), "{written}");
        let read = [
            args.key.map(|argument| (argument.name, argument.value.to_token_stream())),
            args.ttl.map(|argument| (argument.name, argument.value.to_token_stream())),
            args.wait.map(|argument| (argument.name, argument.value.to_token_stream())),
            args.or.map(|argument| (argument.name, argument.value.to_token_stream())),
            args.guard.map(|argument| (argument.name, argument.value.to_token_stream())),
            args.client.map(|argument| (argument.name, argument.value.to_token_stream())),
            args.name.map(|argument| (argument.name, argument.value.to_token_stream())),
        ];
        for (which, read) in read.into_iter().enumerate() {
            let packed = |text: String| text.replace(char::is_whitespace, "");
            let read = read.map(|(name, value)| packed(quote!(#name = #value).to_string()));
            prop_assert_eq!(read, chosen.contains(&all[which].as_str()).then(|| packed(all[which].clone())));
        }
    }

    /// The pieces of an accepted template, written out again, are the template.
    #[test]
    fn the_pieces_of_a_template_are_the_template(
        template in prop::collection::vec("[a-z/é🔒:. ]{1,5}|\\{\\{|\\}\\}|\\{[a-z]{1,4}(\\.[a-z]{1,3})?(:[0-9]{1,2})?\\}|<[a-z_]{1,4}>|<[0-9 ]>", 1..9),
    ) {
        let template = template.concat();
        let mut errors = Errors::default();
        let read = template::parse(&LitStr::new(&template, Span::call_site()), &mut errors);
        prop_assert!(errors.finish().is_ok(), "{template}");
        prop_assert_eq!(&read.text, &template);
        let rebuilt: String = read.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.replace('{', "{{").replace('}', "}}"),
            Piece::Value(value) if value.angled => format!("<{}>", value.text),
            Piece::Value(value) => match &value.spec {
                Some(spec) => format!("{{{}:{spec}}}", value.text),
                None => format!("{{{}}}", value.text),
            },
        }).collect();
        prop_assert_eq!(rebuilt, template);
    }

    /// The macro and the runtime accept the same durations, and refuse the others with the same message.
    #[test]
    fn the_macro_and_the_runtime_parse_durations_alike(
        text in "[0-9]{1,3}(ms|s|m|h|d|us|ns|sec|min|M)?( ?[0-9]{1,3}(ms|s|m|h))?| ?[0-9]{1,22}[a-z]{0,6} ?|\\PC{0,12}",
    ) {
        // A URL needs them encoded.
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let at_run_time = distributed_locks::Locks::connect(format!("memory:alike?ttl={encoded}")).map(drop);
        let attribute = format!("key = \"/a\", ttl = {text:?}");
        let compiled = expand(Attribute::DistributedLock, attribute.parse().unwrap(), ITEMS[0].parse().unwrap()).map(drop);
        match (at_run_time, compiled) {
            (Ok(()), Ok(())) => {}
            (Err(one), Err(other)) => prop_assert_eq!(one.to_string(), other.to_string()),
            (one, other) => prop_assert!(false, "{one:?} and {other:?}"),
        }
    }
}
