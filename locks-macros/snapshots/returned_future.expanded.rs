fn run(&self, id: u32) -> Pin<Box<dyn Future<Output = Result<u32, Error>> + Send + '_>> {
    let name = self.name(id);
    Box::pin(async move {
        let __site = const {
            &::distributed_locks::__private::Site {
                name: ::core::concat!(::core::module_path!(), "::run"),
                template: "/impl/{name}",
                origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
                options: ::distributed_locks::__private::Options::DEFAULT,
            }
        };
        let __key = ::distributed_locks::__private::key(
            &["/impl/", ""],
            &[("name", ::distributed_locks::__private::value(&(name)))],
        );
        let __outcome = ::distributed_locks::__private::run(
                ::distributed_locks::__private::acquiring(__site, __key),
                async move {
                    if let ::core::option::Option::Some(__output) = ::core::option::Option::None::<
                        Result<u32, Error>,
                    > {
                        return __output;
                    }
                    self.load(name).await
                },
            )
            .await;
        match __outcome {
            ::core::result::Result::Ok(__value) => __value,
            ::core::result::Result::Err(__error) => {
                ::distributed_locks::__private::skipped::<Result<u32, Error>>(__error)
            }
        }
    })
}
