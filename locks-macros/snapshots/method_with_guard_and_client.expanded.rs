async fn ship(&mut self, Order { id, .. }: Order) -> Result<impl Display, Error> {
    let key = ::distributed_locks::__private::key(
        &[
            ::distributed_locks::__private::Piece::Text("/orders/"),
            ::distributed_locks::__private::Piece::Value(
                "self.id",
                ::distributed_locks::__private::value(
                    &(::core::format_args!("{:04}", self.id)),
                ),
            ),
        ],
    );
    let client = ::distributed_locks::__private::client(&self.locks);
    let options = ::distributed_locks::__private::Options {
        ttl: ::core::option::Option::Some({
            let length: ::core::time::Duration = self.ttl;
            length
        }),
        hold_at_most: ::core::option::Option::Some(
            ::core::time::Duration::from_secs(60u64),
        ),
        on_lost: ::distributed_locks::__private::OnLost::Continue,
        ..::core::default::Default::default()
    };
    let site = &::distributed_locks::__private::Site {
        name: "orders",
        template: "/orders/{self.id:04}",
        origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
    };
    let outcome = ::distributed_locks::__private::call(
            site,
            key,
            options,
            client,
            move |guard: ::distributed_locks::__private::Guard| async move {
                if let ::core::option::Option::Some(output) = ::core::option::Option::None::<
                    Result<_, Error>,
                > {
                    return output;
                }
                let held: &::distributed_locks::__private::Guard = &guard;
                self.store.write(held.fence(), id).await
            },
        )
        .await;
    match outcome {
        ::core::result::Result::Ok(value) => value,
        ::core::result::Result::Err(error) => {
            ::distributed_locks::__private::skipped::<Result<_, Error>>(error)
        }
    }
}
