fn main() -> Result<(), Error> {
    let body = async {
        let __key = ::distributed_locks::__private::key(
            &[::distributed_locks::__private::Piece::Text("/cron")],
        );
        let __client = ::core::option::Option::None;
        let __options = ::distributed_locks::__private::Given::new(::distributed_locks::__private::Options {
            wait: ::core::option::Option::Some(::core::time::Duration::from_secs(0u64)),
            ..::core::default::Default::default()
        });
        let __site = &::distributed_locks::__private::Site {
            name: ::core::concat!(::core::module_path!(), "::main"),
            template: "/cron",
            origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
        };
        let __outcome = ::distributed_locks::__private::call(
                __site,
                __key,
                __options,
                __client,
                |__guard: ::distributed_locks::__private::Guard| async {
                    if let ::core::option::Option::Some(__output) = ::core::option::Option::None::<
                        Result<(), Error>,
                    > {
                        return __output;
                    }
                    let __guard = __guard;
                    let _ = &__guard;
                    work().await
                },
            )
            .await;
        match __outcome {
            ::core::result::Result::Ok(__value) => __value,
            ::core::result::Result::Err(__error) => {
                ::distributed_locks::__private::skipped::<Result<(), Error>>(__error)
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
