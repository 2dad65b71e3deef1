fn run(&self, id: u32) -> Pin<Box<dyn Future<Output = Result<u32, Error>> + Send + '_>> {
    let name = self.name(id);
    Box::pin(async move {
        let __key = ::distributed_locks::__private::key(
            &[
                ::distributed_locks::__private::Piece::Text("/impl/"),
                ::distributed_locks::__private::Piece::Value(
                    "name",
                    ::distributed_locks::__private::value(&(name)),
                ),
            ],
        );
        let __client = ::core::option::Option::None;
        let __options = ::distributed_locks::__private::Given::new(::distributed_locks::__private::Options {
            ..::core::default::Default::default()
        });
        let __site = &::distributed_locks::__private::Site {
            name: ::core::concat!(::core::module_path!(), "::run"),
            template: "/impl/{name}",
            origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
        };
        let __outcome = ::distributed_locks::__private::call(
                __site,
                __key,
                __options,
                __client,
                move |__guard: ::distributed_locks::__private::Guard| async move {
                    if let ::core::option::Option::Some(__output) = ::core::option::Option::None::<
                        Result<u32, Error>,
                    > {
                        return __output;
                    }
                    let _ = &__guard;
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
