async fn report() -> Report {
    let __key = ::distributed_locks::__private::key(
        &[::distributed_locks::__private::Piece::Text("/report")],
    );
    let __client = ::core::option::Option::None;
    let __options = ::distributed_locks::__private::Given::new(::distributed_locks::__private::Options {
        ..::core::default::Default::default()
    });
    let __site = &::distributed_locks::__private::Site {
        name: ::core::concat!(::core::module_path!(), "::report"),
        template: "/report",
        origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
    };
    let __outcome = ::distributed_locks::__private::call(
            __site,
            __key,
            __options,
            __client,
            move |__guard: ::distributed_locks::__private::Guard| async move {
                if let ::core::option::Option::Some(__output) = ::core::option::Option::None::<
                    Report,
                > {
                    return __output;
                }
                let _ = &__guard;
                Report::new()
            },
        )
        .await;
    match __outcome {
        ::core::result::Result::Ok(__value) => __value,
        ::core::result::Result::Err(error) => {
            let _ = &error;
            Report::skipped(error)
        }
    }
}
