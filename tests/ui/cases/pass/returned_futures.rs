//! Functions whose future is locked, whatever its type is called and wherever its block stands.

#![deny(warnings)]

use distributed_locks::{Error, distributed_lock};
use std::pin::Pin;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[distributed_lock(key = "/f", wait = 0)]
pub fn returned<'a>(x: &'a u8) -> Pin<Box<dyn Future<Output = Result<u8, Error>> + 'a>> {
    return Box::pin(async move { Ok(*x) });
}

#[distributed_lock(key = "/f", wait = 0)]
pub fn cast<'a>(x: &'a u8) -> Pin<Box<dyn Future<Output = Result<u8, Error>> + 'a>> {
    Box::pin(async { Ok(*x) }) as Pin<Box<dyn Future<Output = _> + 'a>>
}

#[distributed_lock(key = "/x", wait = 0, or = None)]
pub fn variable() -> Boxed<'static, Option<u8>> {
    let body = async { Some(1) };
    Box::pin(body)
}

pub struct Service;

pub trait Call {
    type Future: Future<Output = Option<u8>>;
    fn call(&mut self, request: u8) -> Self::Future;
}

impl Call for Service {
    type Future = Boxed<'static, Option<u8>>;

    #[distributed_lock(key = "/x/{request}", wait = 0)]
    fn call(&mut self, request: u8) -> Self::Future {
        if request == 0 {
            Box::pin(async move { Some(request) })
        } else {
            match request {
                1 => Box::pin(async move { Some(request) }),
                2 => unreachable!(),
                _ => {
                    let more = request + 1;
                    Box::pin(async move { Some(more + request) })
                }
            }
        }
    }
}

fn main() {}
