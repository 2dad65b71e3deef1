//! tonic: the methods of a service, which `#[tonic::async_trait]` rewrites. A `Status` cannot be made of our error by `From`,
//! because both are other crates' types: `or` says which status it is.

use crate::{is_locked, store};
use distributed_locks::distributed_lock;
use tonic::{Code, Request, Response, Status, async_trait};

/// As tonic generates it from a service's description.
#[async_trait]
trait Reports: Send + Sync + 'static {
    async fn send(&self, request: Request<u32>) -> Result<Response<u32>, Status>;
}

struct Service;

#[async_trait]
impl Reports for Service {
    #[distributed_lock(key = "/tonic/{request.get_ref()}", wait = 0, client = &store(), or = Err(Status::aborted(error.to_string())))]
    async fn send(&self, request: Request<u32>) -> Result<Response<u32>, Status> {
        let id = request.into_inner();
        assert!(is_locked(&format!("/tonic/{id}")).await);
        Ok(Response::new(id))
    }
}

#[tokio::test]
async fn a_method_of_a_service_is_locked() {
    assert_eq!(Service.send(Request::new(7)).await.unwrap().into_inner(), 7);
    let guard = store().lock("/tonic/7").acquire().await.unwrap();
    let status = Service.send(Request::new(7)).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("busy"), "{status}");
    guard.release().await.unwrap();
}
