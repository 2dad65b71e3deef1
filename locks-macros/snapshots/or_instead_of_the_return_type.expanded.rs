async fn report() -> Report {
    let __site = const {
        &::distributed_locks::__private::Site {
            name: ::core::concat!(::core::module_path!(), "::report"),
            template: "/report",
            origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
            options: ::distributed_locks::__private::Options::DEFAULT,
        }
    };
    let __key = ::distributed_locks::__private::key(&["/report"], &[]);
    let __outcome = match ::distributed_locks::__private::acquiring(__site, __key).await
    {
        ::core::result::Result::Ok(__held) => {
            __held
                .run(async move {
                    if let ::core::option::Option::Some(__output) = ::core::option::Option::None::<
                        Report,
                    > {
                        return __output;
                    }
                    Report::new()
                })
                .await
        }
        ::core::result::Result::Err(__error) => ::core::result::Result::Err(__error),
    };
    match __outcome {
        ::core::result::Result::Ok(__value) => __value,
        ::core::result::Result::Err(error) => {
            let _ = &error;
            Report::skipped(error)
        }
    }
}
