use distributed_locks::{Error, distributed_lock};

#[distributed_lock(key = "/a", ttl = 10)]
async fn of_type(job: &str) -> Result<u32, Error> {
    job.len()
}

struct JobError;

impl From<Error> for JobError {
    fn from(_: Error) -> Self {
        Self
    }
}

#[distributed_lock(key = "/a")]
async fn of_question_mark(job: &str) -> Result<u32, JobError> {
    let number = job.parse::<u32>()?;
    Ok(number)
}

#[distributed_lock(key = "/a")]
async fn of_return(job: &str) -> Result<u32, Error> {
    if job.is_empty() {
        return "empty";
    }
    Ok(1)
}

#[distributed_lock(key = "/a")]
async fn of_name(job: &str) -> Result<u32, Error> {
    Ok(jbo.len())
}

#[distributed_lock(key = "/a")]
async fn of_missing_value(job: &str) -> Option<usize> {
    Some(job.len());
}

#[distributed_lock(key = "/a")]
fn of_plain_fn(job: &str) -> Option<usize> {
    job.len()
}

fn main() {}
