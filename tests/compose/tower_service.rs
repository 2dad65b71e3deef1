//! tower: `Service::call`, whose future has a type that only the service names.

use crate::{is_locked, store};
use distributed_locks::{Error, ErrorKind, distributed_lock};
use std::pin::Pin;
use std::task::{Context, Poll};
use tower::{Service, ServiceExt};

#[derive(Clone)]
struct Reports;

impl Service<u32> for Reports {
    type Response = u32;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<u32, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    #[distributed_lock(key = "/tower/{id}", wait = 0, client = &store())]
    fn call(&mut self, id: u32) -> Self::Future {
        if id == 0 {
            Box::pin(async move { Ok(0) })
        } else {
            Box::pin(async move {
                assert!(is_locked(&format!("/tower/{id}")).await);
                Ok(id)
            })
        }
    }
}

#[tokio::test]
async fn a_call_of_a_service_is_locked_while_its_future_runs() {
    let unpolled = Reports.call(7);
    let guard =
        store().lock("/tower/7").try_acquire().await.unwrap().expect("a future that is not polled holds nothing");
    assert_eq!(unpolled.await.unwrap_err().kind(), ErrorKind::Busy);
    guard.release().await.unwrap();
    assert_eq!(Reports.oneshot(7).await.unwrap(), 7);
    assert_eq!(Reports.oneshot(0).await.unwrap(), 0);
}
