//! An attribute's tokens as arguments: each one known, set at most once, and with its span.

use crate::errors::Errors;
use crate::names::{self, Attribute};
use proc_macro2::{TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Error, Expr, Ident, LitStr, Path, Result, Token};

/// One argument: its name, with the span where it is written, and its value.
pub(crate) struct Argument<T> {
    pub(crate) name: Ident,
    pub(crate) value: T,
}

/// The arguments as they are written. `check` decides whether their values are valid.
#[derive(Default)]
pub(crate) struct Args {
    /// Whose arguments they are.
    pub(crate) attribute: Attribute,
    /// What the leader says of itself.
    pub(crate) value: Option<Argument<Expr>>,
    pub(crate) key: Option<Argument<Expr>>,
    pub(crate) ttl: Option<Argument<Expr>>,
    pub(crate) wait: Option<Argument<Expr>>,
    pub(crate) or: Option<Argument<Expr>>,
    pub(crate) on_lost: Option<Argument<OnLost>>,
    pub(crate) hold_at_least: Option<Argument<Expr>>,
    pub(crate) hold_at_most: Option<Argument<Expr>>,
    pub(crate) mode: Option<Argument<ModeWord>>,
    pub(crate) permits: Option<Argument<Expr>>,
    pub(crate) max_waiting: Option<Argument<Expr>>,
    pub(crate) keys: Option<Argument<Expr>>,
    /// Of a leader, its `leadership`.
    pub(crate) guard: Option<Argument<Ident>>,
    pub(crate) client: Option<Argument<Expr>>,
    pub(crate) name: Option<Argument<LitStr>>,
    /// `crate`, which is a keyword.
    pub(crate) facade: Option<Argument<Path>>,
    /// Whether the attribute tries to set a key; if that failed, its error is enough.
    pub(crate) key_attempted: bool,
}

/// The value of `on_lost`. `Cancel` keeps the word for an error that points at it: a plain `fn` cannot be cancelled.
pub(crate) enum OnLost {
    Cancel(Ident),
    Continue,
}

/// The value of `mode`.
#[derive(Clone, Copy)]
pub(crate) enum ModeWord {
    Exclusive,
    Shared,
}

/// Parses all arguments. An error in one of them does not hide the errors in the next ones.
pub(crate) fn parse(attribute: Attribute, tokens: TokenStream, errors: &mut Errors) -> Args {
    let mut args = Args { attribute, ..Args::default() };
    let all = |input: ParseStream<'_>| {
        while !input.is_empty() {
            if let Err(error) = argument(input, &mut args).and_then(|()| end_of_argument(input)) {
                errors.push(error);
                skip_to_comma(input)?;
            }
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(())
    };
    if let Err(error) = all.parse2(tokens) {
        errors.push(error);
    }
    args
}

fn argument(input: ParseStream<'_>, args: &mut Args) -> Result<()> {
    if let Ok(literal) = input.fork().parse::<LitStr>() {
        let token = literal.token();
        args.key_attempted = true;
        return Err(Error::new(literal.span(), format!("expected `name = value`; write `key = {token}`")));
    }
    let name = input.call(Ident::parse_any)?;
    let text = name.to_string();
    args.key_attempted |= names::means_key(&text);
    let Some(example) = names::example(args.attribute, &text) else {
        return Err(Error::new(name.span(), names::unknown(args.attribute, &text)));
    };
    let needs_value = || Error::new(name.span(), format!("`{text}` needs a value; write `{text} = {example}`"));
    input.parse::<Token![=]>().map_err(|_| needs_value())?;
    if input.is_empty() || input.peek(Token![,]) {
        return Err(needs_value());
    }
    if text == "key" && input.peek(Token![/]) {
        let span = input.span();
        let path: String = std::iter::from_fn(|| (!input.peek(Token![,])).then(|| input.parse::<TokenTree>().ok())?)
            .map(|token| token.to_string())
            .collect();
        return Err(Error::new(span, format!("`key` takes a string; write `key = {path:?}`")));
    }
    match text.as_str() {
        "key" => set(&mut args.key, name, input.parse()),
        "ttl" => set(&mut args.ttl, name, input.parse()),
        "wait" => set(&mut args.wait, name, input.parse()),
        "or" => set(&mut args.or, name, input.parse()),
        "on_lost" => set(&mut args.on_lost, name, on_lost(input)),
        "hold_at_least" => set(&mut args.hold_at_least, name, input.parse()),
        "hold_at_most" => set(&mut args.hold_at_most, name, input.parse()),
        "mode" => set(&mut args.mode, name, mode(input)),
        "permits" => set(&mut args.permits, name, input.parse()),
        "max_waiting" => set(&mut args.max_waiting, name, input.parse()),
        "keys" => set(&mut args.keys, name, input.parse()),
        "guard" | "leadership" => set(&mut args.guard, name, identifier(&text, input)),
        "value" => set(&mut args.value, name, input.parse()),
        "client" => set(&mut args.client, name, input.parse()),
        "name" => set(&mut args.name, name, string(input)),
        _ => set(&mut args.facade, name, path(input)),
    }
}

/// The only place that sets an argument.
fn set<T>(argument: &mut Option<Argument<T>>, name: Ident, value: Result<T>) -> Result<()> {
    let value = value?;
    if argument.is_some() {
        return Err(Error::new(name.span(), format!("`{name}` is set twice; remove one of the two")));
    }
    *argument = Some(Argument { name, value });
    Ok(())
}

fn on_lost(input: ParseStream<'_>) -> Result<OnLost> {
    let span = input.span();
    let not_a_word = |_| Error::new(span, "`on_lost` must be `cancel` or `continue`, without quotes");
    let word = input.call(Ident::parse_any).map_err(not_a_word)?;
    match word.to_string().as_str() {
        "cancel" => Ok(OnLost::Cancel(word)),
        "continue" => Ok(OnLost::Continue),
        other => Err(Error::new(word.span(), format!("`on_lost` must be `cancel` or `continue`, not `{other}`"))),
    }
}

fn mode(input: ParseStream<'_>) -> Result<ModeWord> {
    let span = input.span();
    let not_a_word = |_| Error::new(span, "`mode` must be `exclusive` or `shared`, without quotes");
    let word = input.call(Ident::parse_any).map_err(not_a_word)?;
    match word.to_string().as_str() {
        "exclusive" => Ok(ModeWord::Exclusive),
        "shared" => Ok(ModeWord::Shared),
        other => {
            let meant = match other {
                "read" | "reader" | "share" | "Shared" => "; for a reader, write `mode = shared`",
                "write" | "writer" | "Exclusive" | "mutex" => "; for a writer, write `mode = exclusive`",
                "semaphore" | "permit" | "permits" => "; for a semaphore, write `permits = 3`",
                _ => "",
            };
            Err(Error::new(word.span(), format!("`mode` must be `exclusive` or `shared`, not `{other}`{meant}")))
        }
    }
}

fn identifier(argument: &str, input: ParseStream<'_>) -> Result<Ident> {
    let span = input.span();
    let message = format!("`{argument}` takes an identifier, such as `{argument} = {argument}`");
    input.parse().map_err(|_| Error::new(span, message))
}

fn string(input: ParseStream<'_>) -> Result<LitStr> {
    let span = input.span();
    let message = "`name` takes a string literal, the same for every call, such as `name = \"nightly report\"`";
    input.parse().map_err(|_| Error::new(span, message))
}

fn path(input: ParseStream<'_>) -> Result<Path> {
    let span = input.span();
    if input.peek(LitStr) {
        return Err(Error::new(span, "`crate` takes a path; remove the quotes"));
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
        let mut errors = Errors::default();
        let args = parse(Attribute::DistributedLock, text.parse().unwrap(), &mut errors);
        let found = errors.finish().err().map(|all| all.into_iter().map(|one| one.to_string()).collect());
        (args, found.unwrap_or_default())
    }

    #[test]
    fn reads_every_argument() {
        let (args, errors) = read(
            r#"key = "/a/{b}", ttl = 10, wait = "1m", or = Err(error.into()), on_lost = continue, hold_at_least = 1,
               hold_at_most = LONG, mode = shared, permits = 3, max_waiting = 9, keys = ["/a", "/b"], guard = held, client = &self.locks,
               name = "nightly", crate = ::other::distributed_locks,"#,
        );
        assert_eq!(errors, [""; 0]);
        let text = |argument: Option<Argument<Expr>>| argument.unwrap().value.to_token_stream().to_string();
        assert_eq!(text(args.key), "\"/a/{b}\"");
        assert_eq!(text(args.ttl), "10");
        assert_eq!(text(args.wait), "\"1m\"");
        assert_eq!(text(args.or), "Err (error . into ())");
        assert!(matches!(args.on_lost.unwrap().value, OnLost::Continue));
        assert_eq!(text(args.hold_at_least), "1");
        assert_eq!(text(args.hold_at_most), "LONG");
        assert!(matches!(args.mode.unwrap().value, ModeWord::Shared));
        assert_eq!(text(args.permits), "3");
        assert_eq!(text(args.max_waiting), "9");
        assert_eq!(text(args.keys), "[\"/a\" , \"/b\"]");
        assert_eq!(args.guard.unwrap().value, "held");
        assert_eq!(text(args.client), "& self . locks");
        assert_eq!(args.name.unwrap().value.value(), "nightly");
        assert_eq!(args.facade.unwrap().value.to_token_stream().to_string(), ":: other :: distributed_locks");
    }

    #[test]
    fn reports_every_error_and_keeps_the_valid_arguments() {
        let (args, errors) = read(r#"tll = 10, key = "/a", key = "/b", wait, on_lost = explode, ttl = 5"#);
        assert_eq!(errors.len(), 4, "{errors:?}");
        assert!(errors[0].contains("did you mean `ttl`"), "{errors:?}");
        assert!(errors[1].contains("set twice"), "{errors:?}");
        assert!(errors[2].contains("`wait` needs a value; write `wait = 0`"), "{errors:?}");
        assert!(errors[3].contains("not `explode`"), "{errors:?}");
        assert!(args.ttl.is_some() && args.key.is_some());
    }

    #[test]
    fn a_comma_inside_a_value_does_not_end_it() {
        let (args, errors) = read("key = of::<A, B>(x, y), or = { let a = |b, c| d; e }, wait = 0");
        assert_eq!(errors, [""; 0]);
        assert!(args.key.is_some() && args.or.is_some() && args.wait.is_some());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z_=,\"{}() 0-9:<>&;.-]{0,60}|((key|ttl|or|guard|crate) ?=? ?[a-z\"0-9]{0,4},? ?){0,5}") {
            if let Ok(tokens) = text.parse() {
                parse(Attribute::Leader, tokens, &mut Errors::default());
            }
        }
    }
}
