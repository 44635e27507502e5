//! Writes typed references, and the structs in which several arguments travel.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Visibility, ext::IdentExt, spanned::Spanned};

use crate::method::Method;

/// Lints that code nobody wrote cannot heed.
pub(crate) fn quiet() -> TokenStream {
    quote! {
        #[allow(
            dead_code, missing_docs, non_camel_case_types, private_interfaces, unreachable_pub,
            unsafe_code, unused_qualifications, unused_variables, clippy::all, clippy::pedantic,
            clippy::allow_attributes, clippy::allow_attributes_without_reason
        )]
    }
}

/// Lints that the shape of methods that are called from afar breaks.
pub(crate) fn quiet_methods() -> TokenStream {
    quote!(#[allow(clippy::needless_pass_by_value, clippy::unused_self)])
}

/// The struct in which the arguments of a method with several travel.
pub(crate) fn arguments_name(method: &Method) -> Ident {
    format_ident!("{}_arguments", method.name.unraw())
}

/// Those structs.
pub(crate) fn arguments(methods: &[Method]) -> TokenStream {
    let several = methods.iter().filter(|method| method.arguments.len() > 1);
    several
        .map(|method| {
            let name = arguments_name(method);
            let title = method.wire_name();
            let cfgs = &method.cfgs;
            let fields = method.arguments.iter().map(|(name, ty)| quote!(#name: #ty));
            quote! {
                #(#cfgs)*
                #[derive(
                    ::wasmverse_sdk::__private::serde::Serialize,
                    ::wasmverse_sdk::__private::serde::Deserialize,
                    ::wasmverse_sdk::__private::schemars::JsonSchema,
                )]
                #[serde(crate = "::wasmverse_sdk::__private::serde", deny_unknown_fields)]
                #[schemars(crate = "::wasmverse_sdk::__private::schemars", title = #title)]
                struct #name { #(#fields,)* }
            }
        })
        .collect()
}

/// A reference to write.
pub(crate) struct Reference<'a> {
    pub(crate) visibility: &'a Visibility,
    /// The name of the struct or trait.
    pub(crate) name: &'a Ident,
    /// The name of the type.
    pub(crate) type_name: &'a str,
    pub(crate) methods: &'a [Method],
    pub(crate) bytes: bool,
}

impl Reference<'_> {
    /// The structs, for the scope of the item, and their methods, for a scope of their own.
    pub(crate) fn write(&self) -> (TokenStream, TokenStream) {
        let name = self.name.unraw();
        let called = format_ident!("{name}Ref");
        let sent = format_ident!("{name}RefOneWay");
        let ready = format_ident!("{name}RefRequests");
        let visibility = self.visibility;
        let quiet = quiet();
        let docs = [
            format!("A reference to an object of type `{}`: calls it.", self.type_name),
            format!("The methods of `{}`, sent one way.", self.type_name),
            format!("The methods of `{}`, made ready to be called side by side.", self.type_name),
        ];
        let names = [&called, &sent, &ready];
        let structs = quote! {
            #(
                #quiet
                #[doc = #docs]
                #[derive(Clone, Debug)]
                #visibility struct #names(::wasmverse_sdk::Target);
            )*
        };
        let type_name = self.type_name;
        let calls = self.methods(|value| quote!(::wasmverse_sdk::Result<#value>), &quote!(.call()));
        let sends = self.methods(|_| quote!(::wasmverse_sdk::Result<()>), &quote!(.send()));
        let requests =
            self.methods(|value| quote!(::wasmverse_sdk::Request<#value>), &TokenStream::new());
        let impls = quote! {
            #(
                impl ::core::convert::From<::wasmverse_sdk::Target> for #names {
                    fn from(target: ::wasmverse_sdk::Target) -> Self {
                        Self(target)
                    }
                }
            )*

            impl ::wasmverse_sdk::Reference for #called {
                const TYPE: &'static str = #type_name;
                type OneWay = #sent;
                type Requests = #ready;

                fn target(&self) -> &::wasmverse_sdk::Target {
                    &self.0
                }
            }

            impl #called { #calls }
            impl #sent { #sends }
            impl #ready { #requests }
        };
        (structs, impls)
    }

    fn methods(
        &self,
        answer: impl Fn(TokenStream) -> TokenStream,
        then: &TokenStream,
    ) -> TokenStream {
        // The platform calls that one alone.
        let methods = self.methods.iter().filter(|method| method.name != "on_client_gone");
        methods
            .map(|method| {
                let Method { name, doc, cfgs, .. } = method;
                let wire_name = method.wire_name();
                let names = method.arguments.iter().map(|(name, _)| name);
                let types = method.arguments.iter().map(|(_, ty)| ty);
                let value =
                    method.output.value.as_ref().map_or_else(|| quote!(()), |ty| quote!(#ty));
                let answer = answer(value.clone());
                let payload = self.payload(method);
                let read = match (&method.output.value, self.bytes) {
                    (None, _) => quote!(read_nothing),
                    (Some(ty), false) => quote_spanned!(ty.span() => read::<#ty>),
                    (Some(_), true) => quote!(read_bytes),
                };
                quote! {
                    #(#cfgs)*
                    #[doc = #doc]
                    pub fn #name(&self, #(#names: #types),*) -> #answer {
                        ::wasmverse_sdk::Request::<#value>::new(
                            ::core::clone::Clone::clone(&self.0),
                            ::std::borrow::Cow::Borrowed(#wire_name),
                            #payload,
                            ::wasmverse_sdk::__private::codec::#read,
                        ) #then
                    }
                }
            })
            .collect()
    }

    fn payload(&self, method: &Method) -> TokenStream {
        match &method.arguments[..] {
            [] => quote!(::core::result::Result::Ok(::std::vec::Vec::new())),
            [(name, _)] if self.bytes => quote! {
                ::core::result::Result::Ok(::core::convert::Into::into(#name))
            },
            [(name, ty)] => {
                let write =
                    quote_spanned!(ty.span() => ::wasmverse_sdk::__private::codec::write::<#ty>);
                quote!(#write(&#name))
            }
            several => {
                let arguments = arguments_name(method);
                let names = several.iter().map(|(name, _)| name);
                quote!(::wasmverse_sdk::__private::codec::write(&#arguments { #(#names),* }))
            }
        }
    }
}
