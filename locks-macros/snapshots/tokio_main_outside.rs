#[distributed_lock(key = "/cron", wait = 0)]
fn main() -> Result<(), Error> {
    let body = async { work().await };
    let body = {
        if false {
            let _: &dyn ::core::future::Future<Output = Result<(), Error>> = &body;
        }
        body
    };
    #[allow(clippy::expect_used)]
    {
        use tokio::runtime::Builder;
        return Builder::new_multi_thread().enable_all().build().expect("Failed building the Runtime").block_on(body);
    }
}
