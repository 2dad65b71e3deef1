async fn report() -> Report {
    let key = ::distributed_locks::__private::key(
        &[::distributed_locks::__private::Piece::Text("/report")],
    );
    let client = ::core::option::Option::None;
    let options = ::distributed_locks::__private::Options {
        ..::core::default::Default::default()
    };
    let site = &::distributed_locks::__private::Site {
        name: ::core::concat!(::core::module_path!(), "::report"),
        template: "/report",
        origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
    };
    let outcome = ::distributed_locks::__private::call(
            site,
            key,
            options,
            client,
            move |guard: ::distributed_locks::__private::Guard| async move {
                if let ::core::option::Option::Some(output) = ::core::option::Option::None::<
                    Report,
                > {
                    return output;
                }
                let _ = &guard;
                Report::new()
            },
        )
        .await;
    match outcome {
        ::core::result::Result::Ok(value) => value,
        ::core::result::Result::Err(error) => {
            let _ = &error;
            Report::skipped(error)
        }
    }
}
