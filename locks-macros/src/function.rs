//! The function under the attribute, and where in it the body to lock is.

use crate::mistakes::Mistakes;
use proc_macro2::{Group, Ident, TokenStream};
use syn::parse::{Parse, ParseStream};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Error, FnArg, Pat, PatIdent, Result, ReturnType, Signature, Stmt, Token, Type, TypeInfer, Visibility,
    braced, token,
};

use crate::future;

/// A function with a body.
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    pub(crate) braces: token::Brace,
    pub(crate) inner_attributes: Vec<Attribute>,
    /// What surrounds the part that runs under the lock.
    pub(crate) frame: Frame,
    /// What runs under the lock.
    pub(crate) body: Group,
    /// What the body returns; `None` where the compiler has to find out.
    pub(crate) output: Option<Type>,
    /// The names that a key may use.
    pub(crate) names: Vec<Ident>,
    /// The receiver, under the name that it has where the key is made.
    pub(crate) receiver: Option<Ident>,
}

/// What surrounds the body.
pub(crate) enum Frame {
    /// `async fn`: nothing.
    Async,
    /// `fn`: nothing, and the thread waits.
    Blocking,
    /// `fn` whose last expression is a future: these statements, with a hole where the body was.
    Future { statements: Vec<Stmt>, capture: Option<Token![move]> },
}

/// A function as it is written, its body not looked into.
struct Written {
    attributes: Vec<Attribute>,
    visibility: Visibility,
    signature: Signature,
    braces: token::Brace,
    inner_attributes: Vec<Attribute>,
    body: TokenStream,
}

/// Reads `item`; `None` if it is not a function that could be locked at all.
pub(crate) fn parse(item: TokenStream, mistakes: &mut Mistakes) -> Option<Function> {
    match syn::parse2::<Written>(item) {
        Ok(written) => Some(frame(written, mistakes)),
        Err(error) => {
            mistakes.push(error);
            None
        }
    }
}

impl Parse for Written {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = signature(input)?;
        if input.peek(Token![;]) {
            let name = &signature.ident;
            return Err(Error::new(
                name.span(),
                format!("`{name}` has no body to lock; put the attribute on the implementation"),
            ));
        }
        let content;
        let braces = braced!(content in input);
        let inner_attributes = content.call(Attribute::parse_inner)?;
        Ok(Self { attributes, visibility, signature, braces, inner_attributes, body: content.parse()? })
    }
}

/// The signature, or which other item this is.
fn signature(input: ParseStream<'_>) -> Result<Signature> {
    let start = input.fork();
    input.parse::<Signature>().map_err(|error| {
        let span = start.span();
        let word =
            start.call(syn::ext::IdentExt::parse_any).map_or_else(|_| String::new(), |word: Ident| word.to_string());
        match word.as_str() {
            "fn" | "async" | "unsafe" | "safe" if !start.peek(Token![impl]) && !start.peek(Token![trait]) => error,
            "const" | "extern" if start.peek(Token![fn]) || start.peek(Token![unsafe]) => error,
            "impl" | "trait" => Error::new(
                span,
                format!("`distributed_lock` locks a function, and this is `{word}`; put it on the functions in it"),
            ),
            "" => Error::new(span, "`distributed_lock` locks a function, and this is none"),
            _ => Error::new(span, format!("`distributed_lock` locks a function, and this is `{word}`")),
        }
    })
}

/// Finds the body in `written`.
fn frame(written: Written, mistakes: &mut Mistakes) -> Function {
    let Written { attributes, visibility, signature, braces, inner_attributes, body } = written;
    let mut whole = Group::new(proc_macro2::Delimiter::Brace, body);
    whole.set_span(braces.span.join());
    let declared = match &signature.output {
        ReturnType::Default => syn::parse_quote_spanned!(signature.ident.span()=> ()),
        ReturnType::Type(_, ty) => (**ty).clone(),
    };
    let mut function = Function {
        frame: if signature.asyncness.is_some() { Frame::Async } else { Frame::Blocking },
        output: Some(without_impl_trait(declared.clone())),
        names: signature.inputs.iter().flat_map(names_of).collect(),
        receiver: signature.receiver().map(|receiver| Ident::new("self", receiver.self_token.span)),
        body: whole,
        attributes,
        visibility,
        signature,
        braces,
        inner_attributes,
    };
    if matches!(function.frame, Frame::Blocking)
        && let Err(error) = future::enter(&mut function, &declared)
    {
        mistakes.push(error);
    }
    function
}

fn names_of(argument: &FnArg) -> Vec<Ident> {
    match argument {
        FnArg::Receiver(_) => Vec::new(),
        FnArg::Typed(argument) => bound_by(&argument.pat),
    }
}

/// The names that a pattern binds.
pub(crate) fn bound_by(pattern: &Pat) -> Vec<Ident> {
    struct Names(Vec<Ident>);
    impl VisitMut for Names {
        fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
            self.0.push(pattern.ident.clone());
            visit_mut::visit_pat_ident_mut(self, pattern);
        }
    }
    let mut names = Names(Vec::new());
    names.visit_pat_mut(&mut pattern.clone());
    names.0
}

/// `Result<impl Display, E>` → `Result<_, E>`: a closure's return type cannot say `impl`.
pub(crate) fn without_impl_trait(mut ty: Type) -> Type {
    struct Infer;
    impl VisitMut for Infer {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            if let Type::ImplTrait(opaque) = ty {
                let underscore_token = Token![_](opaque.impl_token.span);
                *ty = Type::Infer(TypeInfer { attrs: Vec::new(), underscore_token });
            } else {
                visit_mut::visit_type_mut(self, ty);
            }
        }
    }
    Infer.visit_type_mut(&mut ty);
    ty
}
