//! From the specs back to the arguments of the calls.

use super::{AttachSpec, ClusterPurpose, ClusterRef, LoadBalancer, ProvisionSpec, TlsSpec};
use crate::json::{Json, Object};

impl ProvisionSpec {
    /// The arguments of `AksCompute.provisioning_configuration` without what is at its default, those of `enable_ssl`
    /// in an object of that name.
    #[must_use]
    pub fn to_arguments(&self) -> Json {
        let mut object = Object::default()
            .some(
                "agent_count",
                (self.agent_count != Self::DEFAULT_AGENT_COUNT).then(|| Json::number(&self.agent_count)),
            )
            .text_if(self.vm_size != Self::DEFAULT_VM_SIZE, "vm_size", &self.vm_size)
            .some("location", self.location.as_deref().map(Json::text));
        if let Some(network) = &self.network {
            object = object
                .text("vnet_resourcegroup_name", &network.group)
                .text("vnet_name", &network.name)
                .text("subnet_name", &network.subnet)
                .text("service_cidr", &network.service_cidr)
                .text("dns_service_ip", &network.dns_service_ip)
                .text("docker_bridge_cidr", &network.docker_bridge_cidr);
        }
        shared(object, self.purpose, &self.tls, &self.load_balancer)
    }
}

impl AttachSpec {
    /// The arguments of `AksCompute.attach_configuration` without what is at its default, those of `enable_ssl` in an
    /// object of that name.
    #[must_use]
    pub fn to_arguments(&self) -> Json {
        let object = match &self.cluster {
            ClusterRef::Id(id) => Object::default().text("resource_id", &id.to_string()),
            ClusterRef::Named { group, name } => {
                Object::default().text("resource_group", group).text("cluster_name", name)
            }
        };
        shared(object, self.purpose, &self.tls, &self.load_balancer)
    }
}

/// What clusters have, however they come about.
fn shared(object: Object, purpose: ClusterPurpose, tls: &TlsSpec, balancer: &LoadBalancer) -> Json {
    let object = object.text_if(purpose == ClusterPurpose::DevTest, "cluster_purpose", &purpose.to_string());
    let object = match balancer {
        LoadBalancer::PublicIp => object,
        LoadBalancer::Internal { subnet } => {
            object.text("load_balancer_type", "InternalLoadBalancer").text("load_balancer_subnet", subnet)
        }
    };
    let ssl = match tls {
        TlsSpec::Off => None,
        TlsSpec::Certificate { cname, cert_file, key_file } => Some(
            Object::default()
                .text("ssl_cname", cname)
                .text("ssl_cert_pem_file", cert_file)
                .text("ssl_key_pem_file", key_file),
        ),
        TlsSpec::LeafLabel { label, overwrite } => Some(
            Object::default().text("leaf_domain_label", label).flag("overwrite_existing_domain", *overwrite),
        ),
    };
    object.some("enable_ssl", ssl.map(Object::done)).done()
}
