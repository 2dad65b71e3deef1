//! The function under the attribute, and the part of it that runs under the lock.

use crate::errors::Errors;
use crate::future::{self, Tail};
use crate::syntax::{bound_by, without_impl_trait};
use proc_macro2::{Group, Ident, Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, Result, ReturnType, Signature, Stmt, Token, Type, Visibility, braced, token};

/// A function with a body.
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    pub(crate) braces: token::Brace,
    pub(crate) inner_attributes: Vec<Attribute>,
    /// What surrounds the part that runs under the lock.
    pub(crate) frame: Frame,
    /// What runs under the lock; of a future, only the bodies in its frame do.
    pub(crate) body: Group,
    /// What the body returns; `None` where the compiler has to infer it.
    pub(crate) output: Option<Type>,
    /// The names that a key may use.
    pub(crate) names: Vec<Ident>,
    /// The receiver, under the name that it has where the key is rendered.
    pub(crate) receiver: Option<Ident>,
}

/// What surrounds the body.
pub(crate) enum Frame {
    /// `async fn`: nothing.
    Async,
    /// `fn`: nothing, and the thread waits.
    Blocking,
    /// `fn` that ends with `async` blocks: these statements, with the bodies removed.
    Future { statements: Vec<Stmt>, tails: Vec<Tail> },
}

/// A function whose body is not parsed.
struct RawFunction {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    signature: Signature,
    braces: token::Brace,
    inner_attributes: Vec<Attribute>,
    body: TokenStream,
}

impl Function {
    /// The span of the whole return type, for errors about it.
    pub(crate) fn output_span(&self) -> Span {
        self.output.as_ref().map_or_else(|| self.signature.ident.span(), Spanned::span)
    }
}

/// Parses `item`; `None` if it is not a function with a body.
pub(crate) fn parse(item: TokenStream, errors: &mut Errors) -> Option<Function> {
    match syn::parse2::<RawFunction>(item) {
        Ok(raw) => Some(with_body(raw, errors)),
        Err(error) => {
            errors.push(error);
            None
        }
    }
}

impl Parse for RawFunction {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = signature(input)?;
        if input.peek(Token![;]) {
            let name = &signature.ident;
            return Err(Error::new(
                name.span(),
                format!("`{name}` has no body; put the attribute on the implementation"),
            ));
        }
        let content;
        let braces = braced!(content in input);
        let inner_attributes = content.call(Attribute::parse_inner)?;
        Ok(Self { attributes, visibility, signature, braces, inner_attributes, body: content.parse()? })
    }
}

/// The signature; or an error that names the other item.
fn signature(input: ParseStream<'_>) -> Result<Signature> {
    let start = input.fork();
    input.parse::<Signature>().map_err(|error| {
        let span = start.span();
        let word = start.call(Ident::parse_any).map_or_else(|_| String::new(), |word| word.to_string());
        let is_function = match word.as_str() {
            "fn" | "async" | "unsafe" | "safe" => !start.peek(Token![impl]) && !start.peek(Token![trait]),
            "const" | "extern" => start.peek(Token![fn]) || start.peek(Token![unsafe]),
            _ => false,
        };
        match word.as_str() {
            _ if is_function => error,
            "impl" | "trait" => Error::new(
                span,
                format!("expected a function, found `{word}`; put the attribute on the functions in it"),
            ),
            "" => Error::new(span, "expected a function; the attribute is for functions only"),
            _ => Error::new(span, format!("expected a function, found `{word}`; the attribute is for functions only")),
        }
    })
}

/// Finds the body in `raw`.
fn with_body(raw: RawFunction, errors: &mut Errors) -> Function {
    let RawFunction { attributes, visibility, signature, braces, inner_attributes, body } = raw;
    let mut whole = Group::new(proc_macro2::Delimiter::Brace, body);
    whole.set_span(braces.span.join());
    let declared = match &signature.output {
        ReturnType::Default => syn::parse_quote_spanned!(signature.ident.span()=> ()),
        ReturnType::Type(_, ty) => (**ty).clone(),
    };
    let split = match signature.asyncness {
        Some(_) => None,
        None => future::split(&signature.ident, &whole, &declared, errors),
    };
    let mut names: Vec<Ident> = signature.inputs.iter().flat_map(names_of).collect();
    let mut receiver = signature.receiver().map(|receiver| Ident::new("self", receiver.self_token.span));
    let (frame, body, output) = match split {
        Some(split) => {
            names.extend(split.names);
            receiver = receiver.map(|receiver| split.receiver.unwrap_or(receiver));
            (Frame::Future { statements: split.statements, tails: split.tails }, whole, split.output)
        }
        None if signature.asyncness.is_some() => (Frame::Async, whole, Some(declared)),
        None => (Frame::Blocking, whole, Some(declared)),
    };
    let output = output.map(without_impl_trait);
    Function { attributes, visibility, signature, braces, inner_attributes, frame, body, output, names, receiver }
}

fn names_of(argument: &FnArg) -> Vec<Ident> {
    match argument {
        FnArg::Receiver(_) => Vec::new(),
        FnArg::Typed(argument) => bound_by(&argument.pat),
    }
}
