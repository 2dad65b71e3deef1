fn run(job: &str) -> Option<u32> {
    #![allow(unused)]
    let key = crate::distributed_locks::__private::key_of(
        crate::distributed_locks::__private::value(&(lock_name(job))),
    );
    let client = ::core::option::Option::None;
    let options = crate::distributed_locks::__private::Options {
        on_lost: crate::distributed_locks::__private::OnLost::Continue,
        ..::core::default::Default::default()
    };
    let site = &crate::distributed_locks::__private::Site {
        name: ::core::concat!(::core::module_path!(), "::run"),
        template: "{lock_name (job)}",
        origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
    };
    let outcome = crate::distributed_locks::__private::call_blocking(
        site,
        key,
        options,
        client,
        move |guard: crate::distributed_locks::__private::Guard| -> Option<u32> {
            let _ = &guard;
            Some(job.len())
        },
    );
    match outcome {
        ::core::result::Result::Ok(value) => value,
        ::core::result::Result::Err(error) => {
            crate::distributed_locks::__private::skipped::<Option<u32>>(error)
        }
    }
}
