/// Runs a job.
pub async fn run_job(job: &str, shard: u32) -> Result<(), JobError> {
    let __site = const {
        &::distributed_locks::__private::Site {
            name: ::core::concat!(::core::module_path!(), "::run_job"),
            template: "/cron/lock/{job}/<shard>",
            origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
            options: ::distributed_locks::__private::Options {
                ttl: ::core::option::Option::Some(
                    ::core::time::Duration::from_secs(10u64),
                ),
                wait: ::core::option::Option::Some(
                    ::core::time::Duration::new(0u64, 250000000u32),
                ),
                ..::distributed_locks::__private::Options::DEFAULT
            },
        }
    };
    let __key = ::distributed_locks::__private::key(
        &["/cron/lock/", "/", ""],
        &[
            ("job", ::distributed_locks::__private::value(&(job))),
            ("shard", ::distributed_locks::__private::value(&(shard))),
        ],
    );
    let __outcome = ::distributed_locks::__private::run(
            ::distributed_locks::__private::acquiring(__site, __key),
            async move {
                if let ::core::option::Option::Some(__output) = ::core::option::Option::None::<
                    Result<(), JobError>,
                > {
                    return __output;
                }
                let _ = &shard;
                let _ = &job;
                work(job).await?;
                Ok(())
            },
        )
        .await;
    match __outcome {
        ::core::result::Result::Ok(__value) => __value,
        ::core::result::Result::Err(__error) => {
            ::distributed_locks::__private::skipped::<Result<(), JobError>>(__error)
        }
    }
}
