fn run<'life0, 'async_trait>(
    &'life0 self,
    __arg1: (u32, u32),
) -> ::core::pin::Pin<
    Box<
        dyn ::core::future::Future<
            Output = Result<u32, Error>,
        > + ::core::marker::Send + 'async_trait,
    >,
>
where
    'life0: 'async_trait,
    Self: 'async_trait,
{
    Box::pin(async move {
        if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<
            Result<u32, Error>,
        > {
            #[allow(unreachable_code)] return __ret;
        }
        let __self = self;
        let (a, b) = {
            let __arg1 = __arg1;
            __arg1
        };
        let __ret: Result<u32, Error> = {
            let __site = const {
                &::distributed_locks::__private::Site {
                    name: ::core::concat!(::core::module_path!(), "::run"),
                    template: "/jobs/{self.id}/{a}",
                    origin: ::core::concat!(::core::file!(), ":", ::core::line!()),
                    options: ::distributed_locks::__private::Options::DEFAULT,
                }
            };
            let __key = ::distributed_locks::__private::key(
                &["/jobs/", "/", ""],
                &[
                    ("self.id", ::distributed_locks::__private::value(&(__self.id))),
                    ("a", ::distributed_locks::__private::value(&(a))),
                ],
            );
            let __outcome = ::distributed_locks::__private::run(
                    ::distributed_locks::__private::acquiring(__site, __key),
                    async move {
                        if let ::core::option::Option::Some(__output) = ::core::option::Option::None::<
                            Result<u32, Error>,
                        > {
                            return __output;
                        }
                        let _ = &__self;
                        let _ = &a;
                        let _ = &b;
                        __self.load(a, b).await
                    },
                )
                .await;
            match __outcome {
                ::core::result::Result::Ok(__value) => __value,
                ::core::result::Result::Err(__error) => {
                    ::distributed_locks::__private::skipped::<
                        Result<u32, Error>,
                    >(__error)
                }
            }
        };
        #[allow(unreachable_code)] __ret
    })
}
