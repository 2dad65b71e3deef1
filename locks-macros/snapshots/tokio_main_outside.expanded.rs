fn main() -> Result<(), Error> {
    let body = async {
        let key = ::distributed_locks::__private::key(
            &[::distributed_locks::__private::Piece::Text("/cron")],
        );
        let client = ::core::option::Option::None;
        let options = ::distributed_locks::__private::Options {
            wait: ::core::option::Option::Some(::core::time::Duration::from_secs(0u64)),
            ..::core::default::Default::default()
        };
        let site = &::distributed_locks::__private::Site {
            name: ::core::concat!(::core::module_path!(), "::main"),
            template: "/cron",
            origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
        };
        let outcome = ::distributed_locks::__private::call(
                site,
                key,
                options,
                client,
                |guard: ::distributed_locks::__private::Guard| async {
                    if let ::core::option::Option::Some(output) = ::core::option::Option::None::<
                        Result<(), Error>,
                    > {
                        return output;
                    }
                    let guard = guard;
                    let _ = &guard;
                    work().await
                },
            )
            .await;
        match outcome {
            ::core::result::Result::Ok(value) => value,
            ::core::result::Result::Err(error) => {
                ::distributed_locks::__private::skipped::<Result<(), Error>>(error)
            }
        }
    };
    let body = {
        if false {
            let _: &dyn ::core::future::Future<Output = Result<(), Error>> = &body;
        }
        body
    };
    #[allow(clippy::expect_used)]
    {
        use tokio::runtime::Builder;
        return Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("Failed building the Runtime")
            .block_on(body);
    }
}
