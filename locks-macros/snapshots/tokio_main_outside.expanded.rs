fn main() -> Result<(), Error> {
    let body = async {
        let __site = const {
            &::distributed_locks::__private::Site {
                name: ::core::concat!(::core::module_path!(), "::main"),
                template: "/cron",
                origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
                options: ::distributed_locks::__private::Options {
                    wait: ::core::option::Option::Some(
                        ::core::time::Duration::from_secs(0u64),
                    ),
                    ..::distributed_locks::__private::Options::DEFAULT
                },
            }
        };
        let __key = ::distributed_locks::__private::key(&["/cron"], &[]);
        let __outcome = ::distributed_locks::__private::run(
                ::distributed_locks::__private::acquiring(__site, __key),
                async {
                    if let ::core::option::Option::Some(__output) = ::core::option::Option::None::<
                        Result<(), Error>,
                    > {
                        return __output;
                    }
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
