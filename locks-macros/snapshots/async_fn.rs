#[distributed_lock(key = "/cron/lock/{job}/<shard>", ttl = 10, wait = "250ms")]
/// Runs a job.
pub async fn run_job(job: &str, shard: u32) -> Result<(), JobError> {
    work(job).await?;
    Ok(())
}
