//! The attribute on any tokens: it never panics, and gives either a function or what is wrong beside the function as it is.

use crate::args;
use crate::key::{self, Piece};
use crate::mistakes::Mistakes;
use crate::{attributed, lock};
use proc_macro2::{Span, TokenStream};
use proptest::prelude::*;
use quote::{ToTokens, quote};
use syn::LitStr;

/// Words that mean something beside the names of arguments, and some that do not.
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

/// Tokens in any order, with groups.
fn tokens() -> impl Strategy<Value = String> {
    let word = prop::sample::select([&args::NAMES[..], &WORDS].concat()).prop_map(str::to_owned);
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

/// `name = value`, mostly well formed, sometimes twice or of a wrong kind.
fn arguments() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        3 => prop::sample::select(&WORDS[11..]).prop_map(str::to_owned),
        1 => tokens(),
    ];
    let argument = (prop::sample::select([&args::NAMES[..], &WORDS[..1]].concat()), value)
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
    // What is no tokens at all never comes to an attribute.
    let Some((attribute, item)) = whole(attribute, item) else { return Ok(()) };
    let expanded = attributed(attribute.clone(), &item);
    match lock(attribute, item.clone()) {
        Ok(_) => prop_assert!(is_a_function(&expanded), "no function: {expanded}"),
        Err(mistakes) => {
            let expanded = expanded.to_string();
            prop_assert!(expanded.ends_with(&quote!(#[allow(unused_variables)] #item).to_string()), "{expanded}");
            prop_assert!(expanded.contains("compile_error"), "{expanded}");
            for mistake in mistakes {
                let said = mistake.to_string();
                prop_assert!(!said.is_empty() && !said.contains('\n'), "{said}");
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

    /// Every argument comes out as it went in, in whatever order they stand.
    #[test]
    fn what_is_well_formed_is_read_as_it_is_written(
        order in Just(vec![0_usize, 1, 2, 3, 4, 5, 6]).prop_shuffle(),
        count in 0..8_usize,
        seconds in 1..31_557_600_u64,
        text in "[a-zA-Z0-9 /:.é🔒-]{1,20}",
        word in "[a-z][a-z0-9_]{2,8}x",
        comma: bool,
    ) {
        let given = [
            format!("key = {text:?}"),
            format!("ttl = {seconds}"),
            format!("wait = \"{seconds}s\""),
            format!("or = Err({word}::<A, B>(error, |a, b| a))"),
            format!("guard = {word}"),
            format!("client = &self.{word}"),
            format!("name = {text:?}"),
        ];
        let chosen: Vec<&str> = order.iter().take(count).map(|which| given[*which].as_str()).collect();
        let written = format!("{}{}", chosen.join(", "), if comma && count > 0 { "," } else { "" });
        let mut mistakes = Mistakes::default();
        let args = args::parse(written.parse().unwrap(), &mut mistakes);
        prop_assert!(mistakes.finish().is_ok(), "{written}");
        let read = [
            args.key.map(|given| (given.name, given.value.to_token_stream())),
            args.ttl.map(|given| (given.name, given.value.to_token_stream())),
            args.wait.map(|given| (given.name, given.value.to_token_stream())),
            args.or.map(|given| (given.name, given.value.to_token_stream())),
            args.guard.map(|given| (given.name, given.value.to_token_stream())),
            args.client.map(|given| (given.name, given.value.to_token_stream())),
            args.name.map(|given| (given.name, given.value.to_token_stream())),
        ];
        for (which, read) in read.into_iter().enumerate() {
            let packed = |text: String| text.replace(char::is_whitespace, "");
            let read = read.map(|(name, value)| packed(quote!(#name = #value).to_string()));
            prop_assert_eq!(read, chosen.contains(&given[which].as_str()).then(|| packed(given[which].clone())));
        }
    }

    /// A template that is accepted is its pieces: text with its braces, and expressions, in order and nothing else.
    #[test]
    fn an_accepted_template_is_its_pieces(
        template in prop::collection::vec("[a-z/é🔒:. ]{1,5}|\\{\\{|\\}\\}|\\{[a-z]{1,4}(\\.[a-z]{1,3})?(:[0-9]{1,2})?\\}|<[a-z_]{1,4}>|<[0-9 ]>", 1..9),
    ) {
        let template = template.concat();
        let mut mistakes = Mistakes::default();
        let read = key::parse(&LitStr::new(&template, Span::call_site()), &mut mistakes);
        prop_assert!(mistakes.finish().is_ok(), "{template}");
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

    /// The macro and the runtime read durations alike, and say the same of what is none.
    #[test]
    fn the_compiler_and_the_runtime_read_durations_alike(
        text in "[0-9]{1,3}(ms|s|m|h|d|us|ns|sec|min)?( ?[0-9]{1,3}(ms|s|m|h))?| ?[0-9]{1,22}[a-z]{0,6} ?|\\PC{0,12}",
    ) {
        // An URL has its own notation for these.
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let at_run_time = distributed_locks::Locks::connect(format!("memory:alike?ttl={encoded}")).map(drop);
        let attribute = format!("key = \"/a\", ttl = {text:?}");
        let compiled = lock(attribute.parse().unwrap(), ITEMS[0].parse().unwrap()).map(drop);
        match (at_run_time, compiled) {
            (Ok(()), Ok(())) => {}
            (Err(one), Err(other)) => prop_assert_eq!(one.to_string(), other.to_string()),
            (one, other) => prop_assert!(false, "{one:?} and {other:?}"),
        }
    }
}
