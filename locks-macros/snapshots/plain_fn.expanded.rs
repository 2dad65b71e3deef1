fn run(job: &str) -> Option<u32> {
    #![allow(unused)]
    let __site = const {
        &crate::distributed_locks::__private::Site {
            name: ::core::concat!(::core::module_path!(), "::run"),
            template: "{lock_name (job)}",
            origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
            options: crate::distributed_locks::__private::Options {
                on_lost: crate::distributed_locks::__private::OnLost::Continue,
                ..crate::distributed_locks::__private::Options::DEFAULT
            },
        }
    };
    let __key = crate::distributed_locks::__private::key_of(
        crate::distributed_locks::__private::value(&(lock_name(job))),
        &["job"],
    );
    let __outcome = crate::distributed_locks::__private::call_blocking(
        __site,
        __key,
        move |_: crate::distributed_locks::__private::Guard| -> Option<u32> {
            let _ = &job;
            Some(job.len())
        },
    );
    match __outcome {
        ::core::result::Result::Ok(__value) => {
            {
                use crate::distributed_locks::__private::Other as _;
                let __kind = crate::distributed_locks::__private::Kind::of(&__value);
                crate::distributed_locks::__private::runs_under_the_lock(__kind.kind());
            }
            __value
        }
        ::core::result::Result::Err(__error) => {
            crate::distributed_locks::__private::skipped::<Option<u32>>(__error)
        }
    }
}
