// Every kind of name over any text: what is accepted comes back as it was, and the types agree with their rule.

use portway_deploy_config::{
    ComputeName, Decimal, EntryScript, ImageName, MemoryMib, Millicores, ModelId, ModelName, NameKind,
    Namespace, ResourceId, ServiceName, Share, VersionName, WorkspaceName,
};

/// Checks one input.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    macro_rules! agrees {
        ($($Name:ident $kind:ident;)*) => {$(
            let name = text.parse::<$Name>();
            assert_eq!(name.is_ok(), NameKind::$kind.check(text).is_ok(), "{text:?}");
            if let Ok(name) = name {
                assert_eq!(name.to_string(), text);
            }
        )*};
    }
    agrees! {
        ServiceName Service; VersionName Version; ModelName Model; ModelId ModelId; ImageName Image;
        Namespace Namespace; WorkspaceName Workspace; ComputeName Compute; EntryScript EntryScript;
    }
    if let Ok(id) = text.parse::<ResourceId>() {
        assert_eq!(id.to_string().parse::<ResourceId>().as_ref(), Ok(&id));
    }
    if let Some(number) = Decimal::parse(text) {
        assert_eq!(Decimal::parse(&number.to_string()).as_ref(), Some(&number));
        if let Ok(share) = Share::from_percent(&number) {
            assert_eq!(Decimal::parse(&share.as_percent()), Some(number.clone()));
        }
        if let Ok(cpu) = Millicores::from_cores(&number) {
            assert!(Decimal::parse(&cpu.cores()).is_some_and(|cores| cores >= number));
        }
        if let Ok(memory) = MemoryMib::from_gigabytes(&number) {
            assert!(Decimal::parse(&memory.gigabytes()).is_some_and(|gigabytes| gigabytes >= number));
        }
    }
}
