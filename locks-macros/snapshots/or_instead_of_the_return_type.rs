#[distributed_lock(key = "/report", or = Report::skipped(error))]
async fn report() -> Report {
    Report::new()
}
