async fn ship(&mut self, Order { id, .. }: Order) -> Result<impl Display, Error> {
    let __site = const {
        &::distributed_locks::__private::Site {
            name: "orders",
            template: "/orders/{self.id:04}",
            origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
            options: ::distributed_locks::__private::Options {
                hold_at_most: ::core::option::Option::Some(
                    ::core::time::Duration::from_secs(60u64),
                ),
                on_lost: ::distributed_locks::__private::OnLost::Continue,
                ..::distributed_locks::__private::Options::DEFAULT
            },
        }
    };
    let __key = ::distributed_locks::__private::key(
        &["/orders/", ""],
        &[
            (
                "self.id",
                ::distributed_locks::__private::value(
                    &(::core::format_args!("{:04}", self.id)),
                ),
            ),
        ],
    );
    let __given = ::distributed_locks::__private::Given::new(__site.options)
        .client(&self.locks)
        .ttl(self.ttl);
    let __outcome = match __given.acquiring(__site, __key).await {
        ::core::result::Result::Ok(__held) => {
            let __guard = __held.guard();
            __held
                .run(async move {
                    if let ::core::option::Option::Some(__output) = ::core::option::Option::None::<
                        Result<_, Error>,
                    > {
                        return __output;
                    }
                    let held: &::distributed_locks::__private::Guard = &__guard;
                    let _ = &id;
                    let _ = &self;
                    self.store.write(held.fence(), id).await
                })
                .await
        }
        ::core::result::Result::Err(__error) => ::core::result::Result::Err(__error),
    };
    match __outcome {
        ::core::result::Result::Ok(__value) => __value,
        ::core::result::Result::Err(__error) => {
            ::distributed_locks::__private::skipped::<Result<_, Error>>(__error)
        }
    }
}
