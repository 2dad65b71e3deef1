fn run(&self, id: u32) -> Pin<Box<dyn Future<Output = Result<u32, Error>> + Send + '_>> {
    let name = self.name(id);
    Box::pin(async move {
        let key = ::locks::__private::key(
            &[
                ::locks::__private::Piece::Text("/impl/"),
                ::locks::__private::Piece::Value(
                    "name",
                    ::locks::__private::value(&(name)),
                ),
            ],
        );
        let client = ::core::option::Option::None;
        let options = ::locks::__private::Options {
            ..::core::default::Default::default()
        };
        let site = &::locks::__private::Site {
            name: ::core::concat!(::core::module_path!(), "::run"),
            template: "/impl/{name}",
            origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
        };
        let outcome = ::locks::__private::call(
                site,
                key,
                options,
                client,
                move |guard: ::locks::__private::Guard| async move {
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
                ::locks::__private::skipped::<Result<u32, Error>>(error)
            }
        }
    })
}
