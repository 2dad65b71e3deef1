//! The attribute's tokens as arguments: each known, set once, and with its place.

use crate::mistakes::Mistakes;
use crate::similar::{listed, similar};
use proc_macro2::{TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Error, Expr, Ident, LitStr, Path, Result, Token};

/// Every argument, in the order of the documentation.
pub(crate) const NAMES: [&str; 14] = [
    "key",
    "ttl",
    "wait",
    "or",
    "on_lost",
    "hold_at_least",
    "hold_at_most",
    "mode",
    "permits",
    "keys",
    "guard",
    "client",
    "name",
    "crate",
];

/// Those of them that are understood, and not available yet.
const LATER: [&str; 3] = ["mode", "permits", "keys"];

/// One argument: its name where it was written, and what it was set to.
pub(crate) struct Given<T> {
    pub(crate) name: Ident,
    pub(crate) value: T,
}

/// What was written in the attribute. Whether it makes sense is for `check` to say.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) key: Option<Given<Expr>>,
    pub(crate) ttl: Option<Given<Expr>>,
    pub(crate) wait: Option<Given<Expr>>,
    pub(crate) or: Option<Given<Expr>>,
    pub(crate) on_lost: Option<Given<OnLost>>,
    pub(crate) hold_at_least: Option<Given<Expr>>,
    pub(crate) hold_at_most: Option<Given<Expr>>,
    pub(crate) mode: Option<Given<Expr>>,
    pub(crate) permits: Option<Given<Expr>>,
    pub(crate) keys: Option<Given<Expr>>,
    pub(crate) guard: Option<Given<Ident>>,
    pub(crate) client: Option<Given<Expr>>,
    pub(crate) name: Option<Given<LitStr>>,
    pub(crate) facade: Option<Given<Path>>,
    /// Whether something was meant as the key, and reported.
    pub(crate) key_attempted: bool,
}

/// `on_lost`; `cancel` with the word as it was written, since not every function can do it.
pub(crate) enum OnLost {
    Cancel(Ident),
    Continue,
}

/// Reads all arguments; one that cannot be read does not hide the next one's mistakes.
pub(crate) fn parse(tokens: TokenStream, mistakes: &mut Mistakes) -> Args {
    let mut args = Args::default();
    let all = |input: ParseStream<'_>| {
        while !input.is_empty() {
            if let Err(error) = argument(input, &mut args).and_then(|()| end_of_argument(input)) {
                mistakes.push(error);
                skip_to_comma(input)?;
            }
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(())
    };
    if let Err(error) = all.parse2(tokens) {
        mistakes.push(error);
    }
    args
}

fn argument(input: ParseStream<'_>, args: &mut Args) -> Result<()> {
    if let Ok(literal) = input.fork().parse::<LitStr>() {
        let token = literal.token();
        args.key_attempted = true;
        return Err(Error::new(literal.span(), format!("an argument needs its name; write `key = {token}`")));
    }
    let name = input.call(Ident::parse_any)?;
    let text = name.to_string();
    args.key_attempted |= text == "key" || text == "keys";
    if !NAMES.contains(&text.as_str()) {
        return Err(Error::new(name.span(), unknown(&text)));
    }
    if !input.peek(Token![=]) {
        return Err(Error::new(name.span(), format!("`{text}` needs a value; write `{text} = {}`", example(&text))));
    }
    input.parse::<Token![=]>()?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(Error::new(name.span(), format!("`{text}` has no value; write `{text} = {}`", example(&text))));
    }
    match text.as_str() {
        "key" => set(&mut args.key, name, input.parse()),
        "ttl" => set(&mut args.ttl, name, input.parse()),
        "wait" => set(&mut args.wait, name, input.parse()),
        "or" => set(&mut args.or, name, input.parse()),
        "on_lost" => set(&mut args.on_lost, name, on_lost(input)),
        "hold_at_least" => set(&mut args.hold_at_least, name, input.parse()),
        "hold_at_most" => set(&mut args.hold_at_most, name, input.parse()),
        "mode" => set(&mut args.mode, name, input.parse()),
        "permits" => set(&mut args.permits, name, input.parse()),
        "keys" => set(&mut args.keys, name, input.parse()),
        "guard" => set(&mut args.guard, name, identifier(input)),
        "client" => set(&mut args.client, name, input.parse()),
        "name" => set(&mut args.name, name, string(input)),
        _ => set(&mut args.facade, name, path(input)),
    }
}

/// The one place where an argument gets its value.
fn set<T>(slot: &mut Option<Given<T>>, name: Ident, value: Result<T>) -> Result<()> {
    let value = value?;
    if slot.is_some() {
        return Err(Error::new(name.span(), format!("`{name}` is set twice; leave one of the two")));
    }
    *slot = Some(Given { name, value });
    Ok(())
}

fn unknown(name: &str) -> String {
    match similar(name, NAMES) {
        Some(meant) => format!("`{name}` is not an argument of `distributed_lock`; did you mean `{meant}`?"),
        None => {
            let available: Vec<_> = NAMES.into_iter().filter(|name| !LATER.contains(name)).collect();
            format!("`{name}` is not an argument of `distributed_lock`; there are {}", listed(&available))
        }
    }
}

/// A value that would be right.
fn example(name: &str) -> &'static str {
    match name {
        "key" => "\"/cron/lock/{job}\"",
        "wait" => "0",
        "or" => "Err(error.into())",
        "on_lost" => "continue",
        "mode" => "exclusive",
        "permits" => "3",
        "keys" => "[\"/a/{from}\", \"/a/{to}\"]",
        "guard" => "guard",
        "client" => "&self.locks",
        "name" => "\"nightly report\"",
        "crate" => "::distributed_locks",
        _ => "\"1m30s\"",
    }
}

fn on_lost(input: ParseStream<'_>) -> Result<OnLost> {
    let span = input.span();
    let quoted = |_| Error::new(span, "`on_lost` is `cancel` or `continue`; write the bare word");
    let word = input.call(Ident::parse_any).map_err(quoted)?;
    match word.to_string().as_str() {
        "cancel" => Ok(OnLost::Cancel(word)),
        "continue" => Ok(OnLost::Continue),
        other => Err(Error::new(word.span(), format!("`on_lost` is `cancel` or `continue`, not `{other}`"))),
    }
}

fn identifier(input: ParseStream<'_>) -> Result<Ident> {
    let span = input.span();
    input.parse().map_err(|_| Error::new(span, "`guard` takes a new name for the body to use, such as `guard = guard`"))
}

fn string(input: ParseStream<'_>) -> Result<LitStr> {
    let span = input.span();
    input.parse().map_err(|_| Error::new(span, "`name` takes a string literal: it is a label, the same for every call"))
}

fn path(input: ParseStream<'_>) -> Result<Path> {
    let span = input.span();
    if input.peek(LitStr) {
        return Err(Error::new(span, "`crate` takes a path; write it without the quotes"));
    }
    input
        .call(Path::parse_mod_style)
        .map_err(|_| Error::new(span, "`crate` takes a path, such as `crate = ::distributed_locks`"))
}

fn end_of_argument(input: ParseStream<'_>) -> Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        return Ok(());
    }
    Err(input.error("expected `,` before the next argument"))
}

fn skip_to_comma(input: ParseStream<'_>) -> Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quote::ToTokens;

    fn read(text: &str) -> (Args, Vec<String>) {
        let mut mistakes = Mistakes::default();
        let args = parse(text.parse().unwrap(), &mut mistakes);
        let found = mistakes.finish().err().map(|all| all.into_iter().map(|one| one.to_string()).collect());
        (args, found.unwrap_or_default())
    }

    #[test]
    fn reads_every_argument() {
        let (args, mistakes) = read(
            r#"key = "/a/{b}", ttl = 10, wait = "1m", or = Err(error.into()), on_lost = continue, hold_at_least = 1,
               hold_at_most = LONG, mode = shared, permits = 3, keys = ["/a", "/b"], guard = held, client = &self.locks,
               name = "nightly", crate = ::other::distributed_locks,"#,
        );
        assert_eq!(mistakes, [""; 0]);
        let text = |given: Option<Given<Expr>>| given.unwrap().value.to_token_stream().to_string();
        assert_eq!(text(args.key), "\"/a/{b}\"");
        assert_eq!(text(args.ttl), "10");
        assert_eq!(text(args.wait), "\"1m\"");
        assert_eq!(text(args.or), "Err (error . into ())");
        assert!(matches!(args.on_lost.unwrap().value, OnLost::Continue));
        assert_eq!(text(args.hold_at_least), "1");
        assert_eq!(text(args.hold_at_most), "LONG");
        assert_eq!(text(args.mode), "shared");
        assert_eq!(text(args.permits), "3");
        assert_eq!(text(args.keys), "[\"/a\" , \"/b\"]");
        assert_eq!(args.guard.unwrap().value, "held");
        assert_eq!(text(args.client), "& self . locks");
        assert_eq!(args.name.unwrap().value.value(), "nightly");
        assert_eq!(args.facade.unwrap().value.to_token_stream().to_string(), ":: other :: distributed_locks");
    }

    #[test]
    fn reports_every_mistake_and_keeps_what_is_right() {
        let (args, mistakes) = read(r#"tll = 10, key = "/a", key = "/b", wait, on_lost = explode, ttl = 5"#);
        assert_eq!(mistakes.len(), 4, "{mistakes:?}");
        assert!(mistakes[0].contains("did you mean `ttl`"), "{mistakes:?}");
        assert!(mistakes[1].contains("set twice"), "{mistakes:?}");
        assert!(mistakes[2].contains("`wait` needs a value; write `wait = 0`"), "{mistakes:?}");
        assert!(mistakes[3].contains("not `explode`"), "{mistakes:?}");
        assert!(args.ttl.is_some() && args.key.is_some());
    }

    #[test]
    fn a_comma_inside_a_value_does_not_end_it() {
        let (args, mistakes) = read("key = of::<A, B>(x, y), or = { let a = |b, c| d; e }, wait = 0");
        assert_eq!(mistakes, [""; 0]);
        assert!(args.key.is_some() && args.or.is_some() && args.wait.is_some());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z_=,\"{}() 0-9:<>&;.-]{0,60}|((key|ttl|or|guard|crate) ?=? ?[a-z\"0-9]{0,4},? ?){0,5}") {
            if let Ok(tokens) = text.parse() {
                parse(tokens, &mut Mistakes::default());
            }
        }
    }
}
