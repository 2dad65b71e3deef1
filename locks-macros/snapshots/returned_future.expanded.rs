fn run(&self, id: u32) -> Pin<Box<dyn Future<Output = Result<u32, Error>> + Send + '_>> {
    let name = self.name(id);
    Box::pin(async move {
        let key = ::distributed_locks::__private::key(
            &[
                ::distributed_locks::__private::Piece::Text("/impl/"),
                ::distributed_locks::__private::Piece::Value(
                    "name",
                    ::distributed_locks::__private::value(&(name)),
                ),
            ],
        );
        let client = ::core::option::Option::None;
        let options = ::distributed_locks::__private::Options {
            ..::core::default::Default::default()
        };
        let site = &::distributed_locks::__private::Site {
            name: ::core::concat!(::core::module_path!(), "::run"),
            template: "/impl/{name}",
            origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
        };
        let outcome = ::distributed_locks::__private::call(
                site,
                key,
                options,
                client,
                move |guard: ::distributed_locks::__private::Guard| async move {
                    if let ::core::option::Option::Some(output) = ::core::option::Option::None::<
                        Result<u32, Error>,
                    > {
                        return output;
                    }
                    let _ = &guard;
                    self.load(name).await
                },
            )
            .await;
        match outcome {
            ::core::result::Result::Ok(value) => value,
            ::core::result::Result::Err(error) => {
                ::distributed_locks::__private::skipped::<Result<u32, Error>>(error)
            }
        }
    })
}
