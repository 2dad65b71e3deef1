#[distributed_lock(key = "/jobs/{self.id}/{a}")]
fn run<'life0, 'async_trait>(&'life0 self, __arg1: (u32, u32)) -> ::core::pin::Pin<Box<dyn ::core::future::Future<Output = Result<u32, Error>> + ::core::marker::Send + 'async_trait>>
where
    'life0: 'async_trait,
    Self: 'async_trait,
{
    Box::pin(async move {
        if let ::core::option::Option::Some(__ret) = ::core::option::Option::None::<Result<u32, Error>> {
            #[allow(unreachable_code)]
            return __ret;
        }
        let __self = self;
        let (a, b) = {
            let __arg1 = __arg1;
            __arg1
        };
        let __ret: Result<u32, Error> = { __self.load(a, b).await };
        #[allow(unreachable_code)]
        __ret
    })
}
