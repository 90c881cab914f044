extension KindStrategy {
  /// The strategies of the built-in kinds. A kind that is not here is what its declaration says and no more.
  package static let builtin: [KindStrategy] = [
    // The core group
    .binding, .componentStatus, .configMap, .endpoints, .event, .limitRange, .namespace, .node, .persistentVolume,
    .persistentVolumeClaim, .pod, .podTemplate, .replicationController, .resourceQuota, .secret, .service,
    .serviceAccount,
    // admissionregistration.k8s.io
    .mutatingAdmissionPolicy, .mutatingAdmissionPolicyBinding, .mutatingWebhookConfiguration,
    .validatingAdmissionPolicy, .validatingAdmissionPolicyBinding, .validatingWebhookConfiguration,
    // apiextensions.k8s.io
    .customResourceDefinition,
    // apiregistration.k8s.io
    .apiService,
    // apps
    .controllerRevision, .daemonSet, .deployment, .replicaSet, .statefulSet,
    // authentication.k8s.io
    .tokenRequest,
    // authorization.k8s.io
    .localSubjectAccessReview, .selfSubjectAccessReview, .subjectAccessReview,
    // autoscaling
    .horizontalPodAutoscaler, .horizontalPodAutoscalerV1,
    // batch
    .cronJob, .job,
    // certificates.k8s.io
    .certificateSigningRequest, .clusterTrustBundle, .podCertificateRequest,
    // coordination.k8s.io
    .lease,
    // discovery.k8s.io
    .endpointSlice,
    // events.k8s.io
    .eventsEvent,
    // flowcontrol.apiserver.k8s.io
    .flowSchema, .priorityLevelConfiguration,
    // networking.k8s.io
    .ingress, .ingressClass, .ipAddress, .networkPolicy, .serviceCIDR,
    // node.k8s.io
    .runtimeClass,
    // policy
    .podDisruptionBudget,
    // rbac.authorization.k8s.io
    .clusterRole, .clusterRoleBinding, .role, .roleBinding,
    // resource.k8s.io
    .deviceTaintRule, .resourceClaim, .resourceSlice,
    // scheduling.k8s.io
    .priorityClass,
    // storage.k8s.io
    .csiDriver, .csiNode, .csiStorageCapacity, .storageClass, .volumeAttachment, .volumeAttributesClass,
    // storagemigration.k8s.io
    .storageVersionMigration,
  ]
}
