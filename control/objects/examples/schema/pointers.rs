//! Which optional fields are pointers in Go: what neither the definitions nor the protobuf sources tell.
//!
//! It matters for empty values: Go leaves out an empty field that is marked `omitempty`, but never what a pointer
//! points to. Optional numbers and booleans are mostly pointers, so those that are not are listed; optional strings
//! mostly are not, so those that are are listed. A name without a type is meant for every type that is not listed
//! with the contrary. Source: the `types.go` files of `k8s.io/api`.

/// Optional numbers and booleans that are not pointers.
const PLAIN: &[&str] = &[
    "*.minReadySeconds",
    "*.observedGeneration",
    "*.readOnly",
    "*.partition",
    "*.chapAuthDiscovery",
    "*.chapAuthSession",
    "*.sslEnabled",
    "*.stdin",
    "*.stdinOnce",
    "*.tty",
    "*.count",
    "*.deprecatedCount",
    "*.availableReplicas",
    "*.readyReplicas",
    "*.unavailableReplicas",
    "*.updatedReplicas",
    "*.currentReplicas",
    "*.fullyLabeledReplicas",
    "DaemonSetStatus.numberAvailable",
    "DaemonSetStatus.numberUnavailable",
    "DaemonSetStatus.updatedNumberScheduled",
    "DeploymentSpec.paused",
    "DeploymentStatus.replicas",
    "StatefulSetOrdinals.start",
    "TokenReviewStatus.authenticated",
    "SubjectAccessReviewStatus.denied",
    "ScaleSpec.replicas",
    "JobStatus.active",
    "JobStatus.failed",
    "JobStatus.succeeded",
    "ContainerImage.sizeBytes",
    "ContainerPort.hostPort",
    "ContainerStateTerminated.signal",
    "NodeSpec.unschedulable",
    "PodSpec.hostIPC",
    "PodSpec.hostNetwork",
    "PodSpec.hostPID",
    "Probe.initialDelaySeconds",
    "Probe.timeoutSeconds",
    "Probe.periodSeconds",
    "Probe.successThreshold",
    "Probe.failureThreshold",
    "ServicePort.nodePort",
    "ServiceSpec.healthCheckNodePort",
    "ServiceSpec.publishNotReadyAddresses",
    "ServiceBackendPort.number",
    "PriorityClass.globalDefault",
    "ObjectMeta.generation",
    "Status.code",
    "StatusDetails.retryAfterSeconds",
];

/// Optional fields that are pointers although the list above or their type says otherwise.
const POINTERS: &[&str] = &[
    "CSIVolumeSource.readOnly",
    "AzureDiskVolumeSource.readOnly",
    "RollingUpdateStatefulSetStrategy.partition",
    "VolumeNodeResources.count",
    "autoscaling.v1.HorizontalPodAutoscalerStatus.observedGeneration",
    "autoscaling.v2.HorizontalPodAutoscalerStatus.observedGeneration",
    "AzureDiskVolumeSource.cachingMode",
    "AzureDiskVolumeSource.fsType",
    "AzureDiskVolumeSource.kind",
    "AzureFilePersistentVolumeSource.secretNamespace",
    "CSIVolumeSource.fsType",
    "ClusterTrustBundleProjection.name",
    "ClusterTrustBundleProjection.signerName",
    "EndpointAddress.nodeName",
    "*.appProtocol",
    "discovery.v1.EndpointPort.name",
    "discovery.v1.EndpointPort.protocol",
    "discovery.v1.Endpoint.hostname",
    "discovery.v1.Endpoint.nodeName",
    "discovery.v1.Endpoint.zone",
    "GlusterfsPersistentVolumeSource.endpointsNamespace",
    "GRPCAction.service",
    "*.initiatorName",
    "IngressSpec.ingressClassName",
    "IngressClassParametersReference.apiGroup",
    "IngressClassParametersReference.namespace",
    "IngressClassParametersReference.scope",
    "JobSpec.completionMode",
    "JobSpec.podReplacementPolicy",
    "JobSpec.managedBy",
    "JobStatus.failedIndexes",
    "SuccessPolicyRule.succeededIndexes",
    "CronJobSpec.timeZone",
    "LeaseSpec.holderIdentity",
    "LeaseSpec.strategy",
    "LeaseSpec.preferredHolder",
    "NetworkPolicyPort.protocol",
    "PersistentVolumeClaimSpec.storageClassName",
    "*.volumeMode",
    "*.volumeAttributesClassName",
    "*.currentVolumeAttributesClassName",
    "PodSpec.runtimeClassName",
    "PodSpec.preemptionPolicy",
    "PodSpec.hostnameOverride",
    "PodDNSConfigOption.value",
    "PodResourceClaim.resourceClaimName",
    "PodResourceClaim.resourceClaimTemplateName",
    "PodResourceClaimStatus.resourceClaimName",
    "PodSecurityContext.fsGroupChangePolicy",
    "PodSecurityContext.supplementalGroupsPolicy",
    "PodSecurityContext.seLinuxChangePolicy",
    "SecurityContext.procMount",
    "*.localhostProfile",
    "ServiceSpec.internalTrafficPolicy",
    "ServiceSpec.ipFamilyPolicy",
    "ServiceSpec.loadBalancerClass",
    "ServiceSpec.trafficDistribution",
    "LoadBalancerIngress.ipMode",
    "PortStatus.error",
    "TypedLocalObjectReference.apiGroup",
    "TypedObjectReference.apiGroup",
    "TypedObjectReference.namespace",
    "TopologySpreadConstraint.nodeAffinityPolicy",
    "TopologySpreadConstraint.nodeTaintsPolicy",
    "*.mountPropagation",
    "*.recursiveReadOnly",
    "WindowsSecurityContextOptions.gmsaCredentialSpecName",
    "WindowsSecurityContextOptions.gmsaCredentialSpec",
    "WindowsSecurityContextOptions.runAsUserName",
    "StorageClass.reclaimPolicy",
    "StorageClass.volumeBindingMode",
    "CSIDriverSpec.fsGroupPolicy",
    "VolumeAttachmentSource.persistentVolumeName",
    "PriorityClass.preemptionPolicy",
    "PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy",
    "HPAScalingRules.selectPolicy",
    "PodFailurePolicyOnExitCodesRequirement.containerName",
    "DeleteOptions.propagationPolicy",
    "Preconditions.uid",
    "Preconditions.resourceVersion",
    "Container.restartPolicy",
    "EphemeralContainer.restartPolicy",
    "Lifecycle.stopSignal",
    "ContainerStatus.stopSignal",
    "HostPathVolumeSource.type",
];

/// Fields that the definitions call optional and that Go prints all the same.
const ALWAYS: &[&str] = &[
    "StatefulSetSpec.serviceName",
    "StatefulSetStatus.availableReplicas",
    "PodDisruptionBudgetStatus.currentHealthy",
    "PodDisruptionBudgetStatus.desiredHealthy",
    "PodDisruptionBudgetStatus.disruptionsAllowed",
    "PodDisruptionBudgetStatus.expectedPods",
    "PriorityClass.value",
];

/// Required fields that Go leaves out all the same when they are empty.
const LEFT_OUT: &[&str] = &[
    "ContainerRestartRule.action",
    "ContainerRestartRuleOnExitCodes.operator",
    "PodCertificateProjection.keyType",
    "PodCertificateProjection.signerName",
];

/// Whether Go leaves out a required field that is empty.
pub fn is_left_out(type_name: &str, field: &str) -> bool {
    LEFT_OUT.iter().any(|entry| matches(entry, type_name, field))
}

/// Whether Go prints the field whatever it is.
pub fn is_always_printed(type_name: &str, field: &str) -> bool {
    ALWAYS.iter().any(|entry| matches(entry, type_name, field))
}

/// Whether the field of this type (`io.k8s.api.core.v1.PodSpec`) points to its value.
pub fn is_pointer(type_name: &str, field: &str, text: bool) -> bool {
    let named = |list: &[&str]| list.iter().any(|entry| matches(entry, type_name, field));
    let every = |list: &[&str]| list.iter().any(|entry| entry.strip_prefix("*.") == Some(field));
    named(POINTERS) || (!named(PLAIN) && if text { every(POINTERS) } else { !every(PLAIN) })
}

fn matches(entry: &str, type_name: &str, field: &str) -> bool {
    let Some((owner, name)) = entry.rsplit_once('.') else { return false };
    name == field && (type_name == owner || type_name.ends_with(&format!(".{owner}")))
}
