//! The `#[distributed_lock]` attribute.

mod args;
mod check;
mod duration;
mod expand;
mod function;
mod future;
mod key;
mod mistakes;
mod scope;
mod similar;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod tests;

use mistakes::Mistakes;
use proc_macro2::TokenStream;
use quote::quote;

/// Runs a function only while it holds a lock, across every process that shares a store.
///
/// ```
/// # use distributed_locks::{Error, distributed_lock};
/// #[distributed_lock(key = "/cron/lock/{job}", ttl = 10)]
/// async fn run_job(job: &str) -> Result<(), Error> {
///     println!("nobody else runs {job} now");
///     Ok(())
/// }
/// ```
///
/// A call waits for the lock called by its key, runs the body, and gives the lock back: on return, on panic, and when
/// the future is dropped. If the process dies, the store lets the lock lapse. A body whose lock can no longer be proved
/// held is stopped at its next await, before the store may give the lock to another.
///
/// # Arguments
///
/// | argument | value | meaning | default |
/// |---|---|---|---|
/// | `key` | template, or an expression that is `Display` | names the lock | required |
/// | `ttl` | duration | how long the lock outlives a dead process; renewed while the body runs | the client's (10 s) |
/// | `wait` | duration; `0` tries once | how long to wait for the lock | for ever |
/// | `or` | expression; `error` is in scope | what to return if the body did not run or was stopped | from the return type |
/// | `on_lost` | `cancel` or `continue` | what happens to the body when the lock is lost | `cancel`; in a plain `fn`, `continue` |
/// | `hold_at_least` | duration | the lock stays taken this long from acquisition, even if the body or the process ends sooner | none |
/// | `hold_at_most` | duration | the body is stopped and the lock given back after this long; not in a plain `fn` | none |
/// | `guard` | a new name | the body's `&Guard` under this name: fence, check, loss | none |
/// | `client` | expression of type `&Locks` | the client to use | the global one |
/// | `name` | string literal | the name in spans, metrics and the holder record | `module::function` |
/// | `crate` | path | where the facade crate is, if renamed | `::distributed_locks` |
///
/// A *duration* is a whole number of seconds (`10`), a string (`"1m30s"`, `"250ms"`), or an expression of type
/// [`Duration`](std::time::Duration). All but `wait` must be more than 0, and all at most a year; the compiler says so of
/// literals, and the call of expressions (`InvalidOption`).
///
/// Expressions see the arguments of the function, `self` included. All but `or` are evaluated once in each call, before
/// the lock is asked for. `or` comes after the body: it cannot use an argument that the body takes by value and that is
/// not `Copy`, nor a `&mut`.
///
/// # Keys
///
/// In a key literal, `{expression}` is a value: an argument, or any expression over the arguments and constants, with a
/// format as in [`format!`] if wanted. `<argument>` is the same as `{argument}`. `{{` and `}}` are braces.
///
/// ```
/// # use distributed_locks::{Error, distributed_lock};
/// # struct Order { id: u64 }
/// # const REGION: &str = "eu";
/// #[distributed_lock(key = "/orders/{REGION}/{order.id:08}/<step>")]
/// async fn ship(order: &Order, step: &str) -> Result<(), Error> {
///     Ok(())
/// }
/// ```
///
/// Values are percent-encoded (`/`, `%` and control characters), so that two lists of arguments never make one key; an
/// empty value is `InvalidKey`. A lower-case name in braces must be an argument or be bound by an argument's pattern; a
/// name in angles, always. Other angles are text, and `{'<'}name>` is the text `<name>`. Where the `async` block of a
/// function is not `async move`, a key cannot use arguments that the block does not take along.
///
/// With `key = expression`, what the expression displays is the key, as it is: encoding is then yours.
///
/// # What it applies to
///
/// `async fn`, and functions whose last expression is an `async` block, alone or in `Box::pin`; what these do before the
/// block, they do without the lock. Methods with any receiver, associated functions, trait methods with a body and trait
/// implementations; generics, patterns and `impl Trait`. On a plain `fn` the thread waits for the lock, in a runtime
/// too, and nothing can stop the body.
///
/// It goes with `#[async_trait]`, `#[tracing::instrument]`, `#[tokio::test]`, `#[tokio::main]`, `#[must_use]`, `#[cfg]`
/// and lints, above or below. The future is `Send` exactly when the body is. A function that calls itself does so in
/// `Box::pin`, as always, and under the same key joins the hold it is in.
///
/// # Return types
///
/// A function that may not run needs a return type that can say so: `Result<_, E>` where `E: From<Error>`, `Option<_>`
/// (`None`), `()` (skipped, with an event), or your own that implements `FromLockError`. Any other type needs `or`:
///
/// ```
/// # use distributed_locks::distributed_lock;
/// #[distributed_lock(key = "/report", wait = 0, or = format!("no report: {error}"))]
/// async fn report() -> String {
///     "all is well".to_owned()
/// }
/// ```
///
/// # Loss, panic and drop
///
/// When the lock is lost, the body is dropped at its next await and the call returns `Lost`; with `on_lost = continue` it
/// runs on, and its guard tells. A panic goes on after the lock was given back. A dropped call gives the lock back, or
/// its place in line, in the background. A value stands even if giving the lock back failed: that is retried and logged.
///
/// No attribute can stop code that does not await, a task that was spawned, or a paused process. Where these could do
/// harm, let the resource refuse old fences:
///
/// ```
/// # use distributed_locks::{Error, distributed_lock};
/// # struct Table;
/// # impl Table { async fn write(&self, _fence: u64, _row: &str) -> Result<(), Error> { Ok(()) } }
/// #[distributed_lock(key = "/tables/{name}", guard = held)]
/// async fn append(table: &Table, name: &str, row: &str) -> Result<(), Error> {
///     table.write(held.fence().to_u64(), row).await
/// }
/// ```
///
/// # Cancel safety
///
/// Dropping the future gives up the place in line or the lock, in the background, and drops the body where it is.
#[proc_macro_attribute]
pub fn distributed_lock(attribute: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    attributed(attribute.into(), &item.into()).into()
}

/// The function locked; or every mistake, and the function as it is, so that nothing else fails to compile.
fn attributed(attribute: TokenStream, item: &TokenStream) -> TokenStream {
    match lock(attribute, item.clone()) {
        Ok(locked) => locked,
        Err(mistakes) => {
            let mistakes = mistakes.to_compile_error();
            // What only the key uses is not unused: that would be said once the mistake is mended.
            quote!(#mistakes #[allow(unused_variables)] #item)
        }
    }
}

/// The function in `item`, locked as `attribute` says.
fn lock(attribute: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let mut mistakes = Mistakes::default();
    let args = args::parse(attribute, &mut mistakes);
    let function = function::parse(item, &mut mistakes);
    check::check(args, function, mistakes).map(expand::expand)
}
