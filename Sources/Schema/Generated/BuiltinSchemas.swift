// Written by `schemac embed` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

enum BuiltinSchemas {
  static let sources: [(name: String, text: String)] = [
    (
      "admission.v1",
      #"""
      // admission.k8s.io/v1

      schema admission.k8s.io/v1 as admission

      enum Operation CREATE UPDATE DELETE CONNECT
      enum PatchType JSONPatch

      kind AdmissionReview  # AdmissionReview asks a webhook whether a request may pass, and carries its answer.
        request AdmissionRequest? 1 omitempty
        response AdmissionResponse? 2 omitempty

      struct AdmissionRequest
        uid string 1
        kind meta.GroupVersionKind 2
        resource meta.GroupVersionResource 3
        subResource string 4 omitempty
        requestKind meta.GroupVersionKind? 13 omitempty
        requestResource meta.GroupVersionResource? 14 omitempty
        requestSubResource string 15 omitempty
        name string 5 omitempty
        namespace string 6 omitempty  # Namespace of the object that is named.
        operation Operation 7
        userInfo authentication.UserInfo 8
        object object 9 omitempty
        oldObject object 10 omitempty
        dryRun bool? 11 omitempty
        options object 12 omitempty

      struct AdmissionResponse
        uid string 1
        allowed bool 2
        status meta.Status? 3 omitempty
        patch bytes 4 omitempty
        patchType PatchType? 5 omitempty
        auditAnnotations {string} 6 omitempty
        warnings [string] 7 omitempty

      """#
    ),
    (
      "admissionregistration.v1",
      #"""
      // admissionregistration.k8s.io/v1

      schema admissionregistration.k8s.io/v1 as admissionregistration priority 16700 15

      enum FailurePolicyType Ignore Fail
      enum MatchPolicyType Exact Equivalent
      enum OperationType * CREATE UPDATE DELETE CONNECT
      enum ParameterNotFoundActionType Allow Deny
      enum PatchType ApplyConfiguration JSONPatch
      enum ReinvocationPolicyType Never IfNeeded
      enum ScopeType Cluster Namespaced *
      enum SideEffectClass Unknown None Some NoneOnDryRun
      enum ValidationAction Deny Warn Audit

      kind ValidatingAdmissionPolicy  # ValidatingAdmissionPolicy refuses objects by expressions.
        @resource validatingadmissionpolicies validatingadmissionpolicy
        @categories api-extensions
        @scope cluster
        @subresource status get,patch,update
        @column string/name Name
        @column integer Validations
        @column string ParamKind
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec ValidatingAdmissionPolicySpec 2 omitempty  # The wanted state.
        status ValidatingAdmissionPolicyStatus 3 omitempty  # The last observed state.

      kind ValidatingAdmissionPolicyBinding  # ValidatingAdmissionPolicyBinding applies a validating policy to resources, with parameters.
        @resource validatingadmissionpolicybindings validatingadmissionpolicybinding
        @categories api-extensions
        @scope cluster
        @column string/name Name
        @column string PolicyName
        @column string ParamRef
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec ValidatingAdmissionPolicyBindingSpec 2 omitempty required  # The wanted state.

      kind ValidatingWebhookConfiguration  # ValidatingWebhookConfiguration names webhooks that may refuse objects before they are stored.
        @resource validatingwebhookconfigurations validatingwebhookconfiguration
        @categories api-extensions
        @scope cluster
        @column string/name Name
        @column integer Webhooks
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        webhooks [ValidatingWebhook] 2 omitempty merge=name keys=name

      kind MutatingWebhookConfiguration  # MutatingWebhookConfiguration names webhooks that may change objects before they are stored.
        @resource mutatingwebhookconfigurations mutatingwebhookconfiguration
        @categories api-extensions
        @scope cluster
        @column string/name Name
        @column integer Webhooks
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        webhooks [MutatingWebhook] 2 omitempty merge=name keys=name

      kind MutatingAdmissionPolicy  # MutatingAdmissionPolicy changes objects by expressions before they are stored.
        @resource mutatingadmissionpolicies mutatingadmissionpolicy
        @categories api-extensions
        @scope cluster
        @column string/name Name
        @column integer Mutations
        @column string ParamKind
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec MutatingAdmissionPolicySpec 2 omitempty  # The wanted state.

      kind MutatingAdmissionPolicyBinding  # MutatingAdmissionPolicyBinding applies a mutating policy to resources, with parameters.
        @resource mutatingadmissionpolicybindings mutatingadmissionpolicybinding
        @categories api-extensions
        @scope cluster
        @column string/name Name
        @column string PolicyName
        @column string ParamRef
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec MutatingAdmissionPolicyBindingSpec 2 omitempty  # The wanted state.

      struct Rule
        apiGroups [string] 1 omitempty
        apiVersions [string] 2 omitempty
        resources [string] 3 omitempty
        scope ScopeType? 4 omitempty

      struct ValidatingAdmissionPolicyStatus
        observedGeneration int64 1 omitempty  # Generation that the controller has seen.
        typeChecking TypeChecking? 2 omitempty
        conditions [meta.Condition] 3 omitempty keys=type

      struct TypeChecking
        expressionWarnings [ExpressionWarning] 1 omitempty

      struct ExpressionWarning
        fieldRef string 2 required nonempty
        warning string 3 required nonempty

      struct ValidatingAdmissionPolicySpec
        paramKind ParamKind? 1 omitempty
        matchConstraints MatchResources? 2 omitempty
        validations [Validation] 3 omitempty
        failurePolicy FailurePolicyType? 4 omitempty
        auditAnnotations [AuditAnnotation] 5 omitempty
        matchConditions [MatchCondition] 6 omitempty merge=name keys=name
        variables [Variable] 7 omitempty merge=name keys=name

      struct ParamKind
        apiVersion string 1 omitempty
        kind string 2 omitempty

      struct Validation
        expression string 1 required
        message string 2 omitempty
        reason meta.StatusReason? 3 omitempty
        messageExpression string 4 omitempty

      struct Variable
        name string 1 required nonempty
        expression string 2 required

      struct AuditAnnotation
        key string 1 required nonempty
        valueExpression string 2 required nonempty

      struct ValidatingAdmissionPolicyBindingSpec
        policyName string 1 omitempty required nonempty
        paramRef ParamRef? 2 omitempty
        matchResources MatchResources? 3 omitempty
        validationActions [ValidationAction] 4 omitempty required set

      struct ParamRef
        name string 1 omitempty
        namespace string 2 omitempty  # Namespace of the object that is named.
        selector meta.LabelSelector? 3 omitempty
        parameterNotFoundAction ParameterNotFoundActionType? 4 omitempty

      struct MatchResources
        namespaceSelector meta.LabelSelector? 1 omitempty
        objectSelector meta.LabelSelector? 2 omitempty
        resourceRules [NamedRuleWithOperations] 3 omitempty
        excludeResourceRules [NamedRuleWithOperations] 4 omitempty
        matchPolicy MatchPolicyType? 7 omitempty

      struct NamedRuleWithOperations
        resourceNames [string] 1 omitempty
        ...RuleWithOperations 2

      struct ValidatingWebhook
        name string 1 required nonempty
        clientConfig WebhookClientConfig 2 required
        rules [RuleWithOperations] 3 omitempty
        failurePolicy FailurePolicyType? 4 omitempty
        matchPolicy MatchPolicyType? 9 omitempty
        namespaceSelector meta.LabelSelector? 5 omitempty
        objectSelector meta.LabelSelector? 10 omitempty
        sideEffects SideEffectClass? 6 required nonempty
        timeoutSeconds int32? 7 omitempty
        admissionReviewVersions [string] 8 required
        matchConditions [MatchCondition] 11 omitempty merge=name keys=name

      struct MutatingWebhook
        name string 1 required nonempty
        clientConfig WebhookClientConfig 2 required
        rules [RuleWithOperations] 3 omitempty
        failurePolicy FailurePolicyType? 4 omitempty
        matchPolicy MatchPolicyType? 9 omitempty
        namespaceSelector meta.LabelSelector? 5 omitempty
        objectSelector meta.LabelSelector? 11 omitempty
        sideEffects SideEffectClass? 6 required nonempty
        timeoutSeconds int32? 7 omitempty
        admissionReviewVersions [string] 8 required
        reinvocationPolicy ReinvocationPolicyType? 10 omitempty
        matchConditions [MatchCondition] 12 omitempty merge=name keys=name

      struct MutatingAdmissionPolicySpec
        paramKind ParamKind? 1 omitempty
        matchConstraints MatchResources? 2 omitempty
        variables [Variable] 3 omitempty
        mutations [Mutation] 4 omitempty
        failurePolicy FailurePolicyType? 5 omitempty
        matchConditions [MatchCondition] 6 omitempty merge=name keys=name
        reinvocationPolicy ReinvocationPolicyType 7 omitempty

      struct Mutation
        patchType PatchType 2 required nonempty
        applyConfiguration ApplyConfiguration? 3 omitempty
        jsonPatch JSONPatch? 4 omitempty

      struct ApplyConfiguration
        expression string 1 omitempty

      struct JSONPatch
        expression string 1 omitempty

      struct MutatingAdmissionPolicyBindingSpec
        policyName string 1 omitempty
        paramRef ParamRef? 2 omitempty
        matchResources MatchResources? 3 omitempty

      struct RuleWithOperations
        operations [OperationType] 1 omitempty
        ...Rule 2

      struct WebhookClientConfig
        url string? 3 omitempty
        service ServiceReference? 1 omitempty
        caBundle bytes 2 omitempty

      struct ServiceReference
        namespace string 1 required  # Namespace of the object that is named.
        name string 2 required
        path string? 3 omitempty
        port int32? 4 omitempty

      struct MatchCondition
        name string 1 required
        expression string 2 required

      """#
    ),
    (
      "apidiscovery.v2",
      #"""
      // apidiscovery.k8s.io/v2

      schema apidiscovery.k8s.io/v2 as apidiscovery

      enum DiscoveryFreshness Current Stale
      enum ResourceScope Cluster Namespaced

      kind APIGroupDiscovery  # APIGroupDiscovery describes the resources of an API group.
        metadata meta.ObjectMeta 1 omitempty
        versions [APIVersionDiscovery] 2 omitempty keys=version

      struct APIVersionDiscovery
        version string 1
        resources [APIResourceDiscovery] 2 omitempty keys=resource
        freshness DiscoveryFreshness 3 omitempty

      struct APIResourceDiscovery
        resource string 1
        responseKind meta.GroupVersionKind? 2 omitempty
        scope ResourceScope 3
        singularResource string 4
        verbs [string] 5 set
        shortNames [string] 6 omitempty set
        categories [string] 7 omitempty set
        subresources [APISubresourceDiscovery] 8 omitempty keys=subresource

      struct APISubresourceDiscovery
        subresource string 1
        responseKind meta.GroupVersionKind? 2 omitempty
        acceptedTypes [meta.GroupVersionKind] 3 omitempty keys=group,version,kind
        verbs [string] 4 set

      """#
    ),
    (
      "apiextensions.v1",
      #"""
      // apiextensions.k8s.io/v1

      schema apiextensions.k8s.io/v1 as apiextensions priority 16700 15

      enum ConditionStatus True False Unknown
      enum ConversionStrategyType None Webhook
      enum CustomResourceDefinitionConditionType Established NamesAccepted NonStructuralSchema Terminating KubernetesAPIApprovalPolicyConformant StorageMigrating open
      enum FieldValueErrorReason FieldValueRequired FieldValueDuplicate FieldValueInvalid FieldValueForbidden open
      enum ResourceScope Cluster Namespaced

      kind CustomResourceDefinition  # CustomResourceDefinition adds a kind to the API.
        @resource customresourcedefinitions customresourcedefinition crd crds
        @categories api-extensions
        @scope cluster
        @subresource status get,patch,update
        @column string/name Name
        @column date Created At
        metadata meta.ObjectMeta 1 omitempty
        spec CustomResourceDefinitionSpec 2 required  # The wanted state.
        status CustomResourceDefinitionStatus 3 omitempty  # The last observed state.

      kind ConversionReview  # ConversionReview asks a webhook to convert objects between versions of a kind.
        request ConversionRequest? 1 omitempty
        response ConversionResponse? 2 omitempty

      struct CustomResourceDefinitionSpec
        group string 1 required
        names CustomResourceDefinitionNames 3 required
        scope ResourceScope 4 required
        versions [CustomResourceDefinitionVersion] 7 required
        conversion CustomResourceConversion? 9 omitempty
        preserveUnknownFields bool 10 omitempty

      struct CustomResourceConversion
        strategy ConversionStrategyType 1 required
        webhook WebhookConversion? 2 omitempty

      struct WebhookConversion
        clientConfig WebhookClientConfig? 2 omitempty
        conversionReviewVersions [string] 3 required

      struct WebhookClientConfig
        url string? 3 omitempty
        service ServiceReference? 1 omitempty
        caBundle bytes 2 omitempty

      struct ServiceReference
        namespace string 1 required  # Namespace of the object that is named.
        name string 2 required
        path string? 3 omitempty
        port int32? 4 omitempty

      struct CustomResourceDefinitionVersion
        name string 1 required
        served bool 2 required
        storage bool 3 required
        deprecated bool 7 omitempty
        deprecationWarning string? 8 omitempty
        schema CustomResourceValidation? 4 omitempty
        subresources CustomResourceSubresources? 5 omitempty
        additionalPrinterColumns [CustomResourceColumnDefinition] 6 omitempty
        selectableFields [SelectableField] 9 omitempty

      struct SelectableField
        jsonPath string 1 required nonempty

      struct CustomResourceColumnDefinition
        name string 1 required
        type string 2 required
        format string 3 omitempty
        description string 4 omitempty
        priority int32 5 omitempty
        jsonPath string 6 required

      struct CustomResourceDefinitionNames
        plural string 1 required
        singular string 2 omitempty
        shortNames [string] 3 omitempty
        kind string 4 required
        listKind string 5 omitempty
        categories [string] 6 omitempty

      struct CustomResourceDefinitionCondition
        type CustomResourceDefinitionConditionType 1 required  # Which aspect, in one word.
        status ConditionStatus 2 required  # True, False or Unknown.
        lastTransitionTime Time 3 omitempty  # When the status last changed.
        reason string 4 omitempty  # Why, in one word.
        message string 5 omitempty  # Why, for people.
        observedGeneration int64 6 omitempty  # Generation that the controller has seen.

      struct CustomResourceDefinitionStatus
        conditions [CustomResourceDefinitionCondition] 1 keys=type  # Aspects of the current state.
        acceptedNames CustomResourceDefinitionNames 2
        storedVersions [string] 3
        observedGeneration int64 4 omitempty  # Generation that the controller has seen.

      struct CustomResourceValidation
        openAPIV3Schema JSONSchemaProps? 1 omitempty

      struct CustomResourceSubresources
        status object? 1 omitempty
        scale CustomResourceSubresourceScale? 2 omitempty

      struct CustomResourceSubresourceScale
        specReplicasPath string 1 required
        statusReplicasPath string 2 required
        labelSelectorPath string? 3 omitempty

      struct ConversionRequest
        uid string 1 required
        desiredAPIVersion string 2 required
        objects [object] 3 required

      struct ConversionResponse
        uid string 1 required nonempty
        convertedObjects [object] 2 required
        result meta.Status 3 required

      struct JSONSchemaProps
        id string 1 omitempty
        $schema string 2 omitempty
        $ref string? 3 omitempty
        description string 4 omitempty
        type string 5 omitempty
        format string 6 omitempty
        title string 7 omitempty
        default any? 8 omitempty
        maximum float64? 9 omitempty
        exclusiveMaximum bool 10 omitempty
        minimum float64? 11 omitempty
        exclusiveMinimum bool 12 omitempty
        maxLength int64? 13 omitempty
        minLength int64? 14 omitempty
        pattern string 15 omitempty
        maxItems int64? 16 omitempty
        minItems int64? 17 omitempty
        uniqueItems bool 18 omitempty
        multipleOf float64? 19 omitempty
        enum [any] 20 omitempty
        maxProperties int64? 21 omitempty
        minProperties int64? 22 omitempty
        required [string] 23 omitempty
        items any? 24 omitempty  # Which keys become files, and their names; every key unless told.
        allOf [JSONSchemaProps] 25 omitempty
        oneOf [JSONSchemaProps] 26 omitempty
        anyOf [JSONSchemaProps] 27 omitempty
        not JSONSchemaProps? 28 omitempty
        properties {JSONSchemaProps} 29 omitempty
        additionalProperties any? 30 omitempty
        patternProperties {JSONSchemaProps} 31 omitempty
        dependencies {any} 32 omitempty
        additionalItems any? 33 omitempty
        definitions {JSONSchemaProps} 34 omitempty
        externalDocs ExternalDocumentation? 35 omitempty
        example any? 36 omitempty
        nullable bool 37 omitempty
        x-kubernetes-preserve-unknown-fields bool? 38 omitempty
        x-kubernetes-embedded-resource bool 39 omitempty
        x-kubernetes-int-or-string bool 40 omitempty
        x-kubernetes-list-map-keys [string] 41 omitempty
        x-kubernetes-list-type string? 42 omitempty
        x-kubernetes-map-type string? 43 omitempty
        x-kubernetes-validations [ValidationRule] 44 omitempty merge=rule keys=rule

      struct ValidationRule
        rule string 1 required
        message string 2 omitempty
        messageExpression string 3 omitempty
        reason FieldValueErrorReason? 4 omitempty
        fieldPath string 5 omitempty
        optionalOldSelf bool? 6 omitempty

      struct ExternalDocumentation
        description string 1 omitempty
        url string 2 omitempty

      """#
    ),
    (
      "apiregistration.v1",
      #"""
      // apiregistration.k8s.io/v1

      schema apiregistration.k8s.io/v1 as apiregistration priority 17900 15

      enum APIServiceConditionType Available open
      enum ConditionStatus True False Unknown

      kind APIService  # APIService hands an API group and version to another server.
        @resource apiservices apiservice
        @categories api-extensions
        @scope cluster
        @subresource status get,patch,update
        @column string/name Name
        @column string Service
        @column string Available
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec APIServiceSpec 2 omitempty  # The wanted state.
        status APIServiceStatus 3 omitempty  # The last observed state.

      struct ServiceReference
        namespace string 1 omitempty  # Namespace of the object that is named.
        name string 2 omitempty
        port int32? 3 omitempty

      struct APIServiceSpec
        service ServiceReference? 1 omitempty
        group string 2 omitempty
        version string 3 omitempty
        insecureSkipTLSVerify bool 4 omitempty
        caBundle bytes 5 omitempty atomic
        groupPriorityMinimum int32 7 required
        versionPriority int32 8 required

      struct APIServiceCondition
        type APIServiceConditionType 1 required  # Which aspect, in one word.
        status ConditionStatus 2 required  # True, False or Unknown.
        lastTransitionTime Time 3 omitempty  # When the status last changed.
        reason string 4 omitempty  # Why, in one word.
        message string 5 omitempty  # Why, for people.

      struct APIServiceStatus
        conditions [APIServiceCondition] 1 omitempty merge=type keys=type  # Aspects of the current state.

      """#
    ),
    (
      "apps.v1",
      #"""
      // apps/v1

      schema apps/v1 as apps priority 17800 15

      enum DaemonSetUpdateStrategyType RollingUpdate OnDelete
      enum DeploymentConditionType Available Progressing ReplicaFailure open
      enum DeploymentStrategyType Recreate RollingUpdate
      enum PersistentVolumeClaimRetentionPolicyType Retain Delete
      enum PodManagementPolicyType OrderedReady Parallel
      enum ReplicaSetConditionType ReplicaFailure open
      enum StatefulSetConditionType Progressing open
      enum StatefulSetUpdateStrategyType RollingUpdate OnDelete Recreate

      kind StatefulSet  # StatefulSet runs pods with stable names and storage of their own.
        @resource statefulsets statefulset sts
        @categories all
        @subresource scale get,patch,update autoscaling/v1 Scale
        @subresource status get,patch,update
        @column string/name Name
        @column string Ready
        @column string Age
        @column string!1 Containers
        @column string!1 Images
        metadata meta.ObjectMeta 1 omitempty
        spec StatefulSetSpec 2 omitempty required
        status StatefulSetStatus 3 omitempty  # The last observed state.

      kind Deployment  # Deployment keeps a number of equal pods running and replaces them gradually when their template changes.
        @resource deployments deployment deploy
        @categories all
        @subresource scale get,patch,update autoscaling/v1 Scale
        @subresource status get,patch,update
        @column string/name Name
        @column string Ready
        @column string Up-to-date
        @column string Available
        @column string Age
        @column string!1 Containers
        @column string!1 Images
        @column string!1 Selector
        metadata meta.ObjectMeta 1 omitempty
        spec DeploymentSpec 2 omitempty required
        status DeploymentStatus 3 omitempty

      kind DaemonSet  # DaemonSet runs one copy of a pod on every matching node.
        @resource daemonsets daemonset ds
        @categories all
        @subresource status get,patch,update
        @column string/name Name
        @column integer Desired
        @column integer Current
        @column integer Ready
        @column integer Up-to-date
        @column integer Available
        @column string Node Selector
        @column string Age
        @column string!1 Containers
        @column string!1 Images
        @column string!1 Selector
        metadata meta.ObjectMeta 1 omitempty
        spec DaemonSetSpec 2 omitempty required
        status DaemonSetStatus 3 omitempty  # The last observed state.

      kind ReplicaSet  # ReplicaSet keeps a number of equal pods running.
        @resource replicasets replicaset rs
        @categories all
        @subresource scale get,patch,update autoscaling/v1 Scale
        @subresource status get,patch,update
        @column string/name Name
        @column integer Desired
        @column integer Current
        @column integer Ready
        @column string Age
        @column string!1 Containers
        @column string!1 Images
        @column string!1 Selector
        metadata meta.ObjectMeta 1 omitempty
        spec ReplicaSetSpec 2 omitempty required
        status ReplicaSetStatus 3 omitempty  # The last observed state.

      kind ControllerRevision  # ControllerRevision is an immutable snapshot of a controller's state.
        @resource controllerrevisions controllerrevision
        @column string/name Name
        @column string Controller
        @column integer Revision
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        data object 2 required
        revision int64 3

      struct StatefulSetUpdateStrategy
        type StatefulSetUpdateStrategyType 1 omitempty
        rollingUpdate RollingUpdateStatefulSetStrategy? 2 omitempty

      struct RollingUpdateStatefulSetStrategy
        partition int32? 1 omitempty
        maxUnavailable IntOrString? 2 omitempty

      struct StatefulSetPersistentVolumeClaimRetentionPolicy
        whenDeleted PersistentVolumeClaimRetentionPolicyType 1 omitempty
        whenScaled PersistentVolumeClaimRetentionPolicyType 2 omitempty

      struct StatefulSetOrdinals
        start int32 1

      struct StatefulSetSpec  # StatefulSetSpec describes the wanted state of a stateful set.
        replicas int32? 1 omitempty  # Wanted number of pods; 1 unless told.
        selector meta.LabelSelector? 2 required  # Pods that belong to the set; it cannot be changed.
        template core.PodTemplateSpec 3 required
        volumeClaimTemplates [core.PersistentVolumeClaim] 4 omitempty  # Claims that each pod gets for itself.
        serviceName string 5  # Headless service that names the pods.
        podManagementPolicy PodManagementPolicyType 6 omitempty  # OrderedReady starts pods one after the other, Parallel all at once.
        updateStrategy StatefulSetUpdateStrategy 7 omitempty  # How pods are replaced.
        revisionHistoryLimit int32? 8 omitempty
        minReadySeconds int32 9 omitempty  # Seconds a new pod must be ready to count as available.
        persistentVolumeClaimRetentionPolicy StatefulSetPersistentVolumeClaimRetentionPolicy? 10 omitempty
        ordinals StatefulSetOrdinals? 11 omitempty

      struct StatefulSetStatus
        observedGeneration int64 1 omitempty  # Generation that the controller has seen.
        replicas int32 2 required  # Number of pods.
        readyReplicas int32 3 omitempty
        currentReplicas int32 4 omitempty
        updatedReplicas int32 5 omitempty
        currentRevision string 6 omitempty
        updateRevision string 7 omitempty
        collisionCount int32? 9 omitempty
        conditions [StatefulSetCondition] 10 omitempty merge=type keys=type  # Aspects of the current state.
        availableReplicas int32 11

      struct StatefulSetCondition
        type StatefulSetConditionType 1  # Which aspect, in one word.
        status core.ConditionStatus 2  # True, False or Unknown.
        lastTransitionTime Time 3 omitempty  # When the status last changed.
        reason string 4 omitempty  # Why, in one word.
        message string 5 omitempty  # Why, for people.

      struct DeploymentSpec  # DeploymentSpec describes the wanted state of a deployment.
        replicas int32? 1 omitempty  # Wanted number of pods; 1 unless told.
        selector meta.LabelSelector? 2 required  # Pods that belong to the deployment; it cannot be changed and must match the template's labels.
        template core.PodTemplateSpec 3 required
        strategy DeploymentStrategy 4 omitempty retainKeys
        minReadySeconds int32 5 omitempty  # Seconds a new pod must be ready to count as available.
        revisionHistoryLimit int32? 6 omitempty  # How many old replica sets are kept for rollbacks; 10 unless told.
        paused bool 7 omitempty  # Whether changes of the template are not rolled out.
        progressDeadlineSeconds int32? 9 omitempty  # Seconds without progress after which the rollout counts as failed; 600 unless told.

      struct DeploymentStrategy  # DeploymentStrategy says how old pods are replaced by new ones.
        type DeploymentStrategyType 1 omitempty  # RollingUpdate or Recreate.
        rollingUpdate RollingUpdateDeployment? 2 omitempty

      struct RollingUpdateDeployment  # RollingUpdateDeployment bounds a rolling update.
        maxUnavailable IntOrString? 1 omitempty  # How many pods may be missing, as a number or percentage; 25% unless told.
        maxSurge IntOrString? 2 omitempty  # How many pods may be extra, as a number or percentage; 25% unless told.

      struct DeploymentStatus  # DeploymentStatus is the last observed state of a deployment.
        observedGeneration int64 1 omitempty  # Generation that the controller has seen.
        replicas int32 2 omitempty  # Pods there are.
        updatedReplicas int32 3 omitempty  # Pods with the current template.
        readyReplicas int32 7 omitempty  # Pods that are ready.
        availableReplicas int32 4 omitempty  # Pods that have been ready for minReadySeconds.
        unavailableReplicas int32 5 omitempty  # Pods that are missing.
        terminatingReplicas int32? 9 omitempty
        conditions [DeploymentCondition] 6 omitempty merge=type keys=type  # Aspects of the state, such as Available and Progressing.
        collisionCount int32? 8 omitempty  # How often the name of a replica set was taken.

      struct DeploymentCondition
        type DeploymentConditionType 1  # Which aspect, in one word.
        status core.ConditionStatus 2  # True, False or Unknown.
        lastUpdateTime Time 6 omitempty  # When the condition was last written.
        lastTransitionTime Time 7 omitempty  # When the status last changed.
        reason string 4 omitempty  # Why, in one word.
        message string 5 omitempty  # Why, for people.

      struct DaemonSetUpdateStrategy
        type DaemonSetUpdateStrategyType 1 omitempty
        rollingUpdate RollingUpdateDaemonSet? 2 omitempty

      struct RollingUpdateDaemonSet
        maxUnavailable IntOrString? 1 omitempty
        maxSurge IntOrString? 2 omitempty

      struct DaemonSetSpec  # DaemonSetSpec describes the wanted state of a daemon set.
        selector meta.LabelSelector? 1 required  # Pods that belong to the set; it cannot be changed.
        template core.PodTemplateSpec 2 required
        updateStrategy DaemonSetUpdateStrategy 3 omitempty  # How pods are replaced.
        minReadySeconds int32 4 omitempty  # Seconds a new pod must be ready to count as available.
        revisionHistoryLimit int32? 6 omitempty

      struct DaemonSetStatus
        currentNumberScheduled int32 1 required
        numberMisscheduled int32 2 required
        desiredNumberScheduled int32 3 required
        numberReady int32 4 required
        observedGeneration int64 5 omitempty  # Generation that the controller has seen.
        updatedNumberScheduled int32 6 omitempty
        numberAvailable int32 7 omitempty
        numberUnavailable int32 8 omitempty
        collisionCount int32? 9 omitempty
        conditions [DaemonSetCondition] 10 omitempty merge=type keys=type  # Aspects of the current state.

      struct DaemonSetCondition
        type string 1  # Which aspect, in one word.
        status core.ConditionStatus 2  # True, False or Unknown.
        lastTransitionTime Time 3 omitempty  # When the status last changed.
        reason string 4 omitempty  # Why, in one word.
        message string 5 omitempty  # Why, for people.

      struct ReplicaSetSpec  # ReplicaSetSpec describes the wanted state of a replica set.
        replicas int32? 1 omitempty  # Wanted number of pods; 1 unless told.
        minReadySeconds int32 4 omitempty  # Seconds a new pod must be ready to count as available.
        selector meta.LabelSelector? 2 required  # Pods that belong to the set; it cannot be changed.
        template core.PodTemplateSpec 3 omitempty

      struct ReplicaSetStatus
        replicas int32 1 required  # Number of pods.
        fullyLabeledReplicas int32 2 omitempty
        readyReplicas int32 4 omitempty
        availableReplicas int32 5 omitempty
        terminatingReplicas int32? 7 omitempty
        observedGeneration int64 3 omitempty  # Generation that the controller has seen.
        conditions [ReplicaSetCondition] 6 omitempty merge=type keys=type  # Aspects of the current state.

      struct ReplicaSetCondition
        type ReplicaSetConditionType 1  # Which aspect, in one word.
        status core.ConditionStatus 2  # True, False or Unknown.
        lastTransitionTime Time 3 omitempty  # When the status last changed.
        reason string 4 omitempty  # Why, in one word.
        message string 5 omitempty  # Why, for people.

      """#
    ),
    (
      "authentication.v1",
      #"""
      // authentication.k8s.io/v1

      schema authentication.k8s.io/v1 as authentication priority 17700 15

      kind TokenReview  # TokenReview answers whether a token is valid and to whom it belongs.
        @resource tokenreviews tokenreview
        @scope cluster
        @verbs create
        metadata meta.ObjectMeta 1 omitempty
        spec TokenReviewSpec 2 required  # The wanted state.
        status TokenReviewStatus 3 omitempty  # The last observed state.

      kind TokenRequest  # TokenRequest asks for a token of a service account.
        metadata meta.ObjectMeta 1 omitempty
        spec TokenRequestSpec 2  # The wanted state.
        status TokenRequestStatus 3 omitempty  # The last observed state.

      kind SelfSubjectReview  # SelfSubjectReview answers who the caller is.
        @resource selfsubjectreviews selfsubjectreview
        @scope cluster
        @verbs create
        metadata meta.ObjectMeta 1 omitempty
        status SelfSubjectReviewStatus 2 omitempty  # The last observed state.

      struct TokenReviewSpec
        token string 1 omitempty required
        audiences [string] 2 omitempty

      struct TokenReviewStatus
        authenticated bool 1 omitempty
        user UserInfo 2 omitempty
        audiences [string] 4 omitempty
        error string 3 omitempty

      struct UserInfo
        username string 1 omitempty
        uid string 2 omitempty
        groups [string] 3 omitempty
        extra {[string]} 4 omitempty

      struct TokenRequestSpec
        audiences [string] 1
        expirationSeconds int64? 4
        boundObjectRef BoundObjectReference? 3
        attestations {[string]} 5 omitempty

      struct TokenRequestStatus
        token string 1
        expirationTimestamp Time 2

      struct BoundObjectReference
        kind string 1 omitempty
        apiVersion string 2 omitempty
        name string 3 omitempty
        uid string 4 omitempty

      struct SelfSubjectReviewStatus
        userInfo UserInfo 1 omitempty

      """#
    ),
    (
      "authorization.v1",
      #"""
      // authorization.k8s.io/v1

      schema authorization.k8s.io/v1 as authorization priority 17600 15

      kind SubjectAccessReview  # SubjectAccessReview answers whether a user may do something.
        @resource subjectaccessreviews subjectaccessreview
        @scope cluster
        @verbs create
        metadata meta.ObjectMeta 1 omitempty
        spec SubjectAccessReviewSpec 2 required  # The wanted state.
        status SubjectAccessReviewStatus 3 omitempty  # The last observed state.

      kind SelfSubjectAccessReview  # SelfSubjectAccessReview answers whether the caller may do something.
        @resource selfsubjectaccessreviews selfsubjectaccessreview
        @scope cluster
        @verbs create
        metadata meta.ObjectMeta 1 omitempty
        spec SelfSubjectAccessReviewSpec 2 required  # The wanted state.
        status SubjectAccessReviewStatus 3 omitempty  # The last observed state.

      kind LocalSubjectAccessReview  # LocalSubjectAccessReview answers whether a user may do something in one namespace.
        @resource localsubjectaccessreviews localsubjectaccessreview
        @verbs create
        metadata meta.ObjectMeta 1 omitempty
        spec SubjectAccessReviewSpec 2 required  # The wanted state.
        status SubjectAccessReviewStatus 3 omitempty  # The last observed state.

      kind SelfSubjectRulesReview  # SelfSubjectRulesReview lists what the caller may do in a namespace.
        @resource selfsubjectrulesreviews selfsubjectrulesreview
        @scope cluster
        @verbs create
        metadata meta.ObjectMeta 1 omitempty
        spec SelfSubjectRulesReviewSpec 2 required  # The wanted state.
        status SubjectRulesReviewStatus 3 omitempty  # The last observed state.

      struct ResourceAttributes
        namespace string 1 omitempty  # Namespace of the object that is named.
        verb string 2 omitempty
        group string 3 omitempty
        version string 4 omitempty
        resource string 5 omitempty
        subresource string 6 omitempty
        name string 7 omitempty
        fieldSelector FieldSelectorAttributes? 8 omitempty
        labelSelector LabelSelectorAttributes? 9 omitempty

      struct LabelSelectorAttributes
        rawSelector string 1 omitempty
        requirements [meta.LabelSelectorRequirement] 2 omitempty

      struct FieldSelectorAttributes
        rawSelector string 1 omitempty
        requirements [meta.FieldSelectorRequirement] 2 omitempty

      struct NonResourceAttributes
        path string 1 omitempty
        verb string 2 omitempty

      struct SubjectAccessReviewSpec
        resourceAttributes ResourceAttributes? 1 omitempty
        nonResourceAttributes NonResourceAttributes? 2 omitempty
        user string 3 omitempty
        groups [string] 4 omitempty
        extra {[string]} 5 omitempty
        uid string 6 omitempty

      struct SelfSubjectAccessReviewSpec
        resourceAttributes ResourceAttributes? 1 omitempty
        nonResourceAttributes NonResourceAttributes? 2 omitempty

      struct SubjectAccessReviewStatus
        allowed bool 1 required
        denied bool 4 omitempty
        reason string 2 omitempty
        evaluationError string 3 omitempty

      struct SelfSubjectRulesReviewSpec
        namespace string 1 omitempty  # Namespace of the object that is named.

      struct SubjectRulesReviewStatus
        resourceRules [ResourceRule] 1 required
        nonResourceRules [NonResourceRule] 2 required
        incomplete bool 3 required
        evaluationError string 4 omitempty

      struct ResourceRule
        verbs [string] 1 required
        apiGroups [string] 2 omitempty
        resources [string] 3 omitempty
        resourceNames [string] 4 omitempty

      struct NonResourceRule
        verbs [string] 1 required
        nonResourceURLs [string] 2 omitempty

      """#
    ),
    (
      "autoscaling.v1",
      #"""
      // autoscaling/v1

      schema autoscaling/v1 as autoscaling1 priority 17500 15

      enum HorizontalPodAutoscalerConditionType ScalingActive AbleToScale ScalingLimited ScaledToZero open
      enum MetricSourceType Object Pods Resource ContainerResource External

      kind HorizontalPodAutoscaler  # HorizontalPodAutoscaler changes the number of pods of a workload by what it measures.
        @resource horizontalpodautoscalers horizontalpodautoscaler hpa
        @categories all
        @subresource status get,patch,update
        @column string/name Name
        @column string Reference
        @column string Targets
        @column string MinPods
        @column string MaxPods
        @column string Replicas
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec HorizontalPodAutoscalerSpec 2 omitempty required  # The wanted state.
        status HorizontalPodAutoscalerStatus 3 omitempty  # The last observed state.

      kind Scale  # Scale is the wanted and the current number of replicas of a workload.
        metadata meta.ObjectMeta 1 omitempty
        spec ScaleSpec 2 omitempty  # The wanted state.
        status ScaleStatus 3 omitempty  # The last observed state.

      struct CrossVersionObjectReference
        kind string 1 required
        name string 2 required
        apiVersion string 3 omitempty

      struct HorizontalPodAutoscalerSpec
        scaleTargetRef CrossVersionObjectReference 1 required  # The workload to scale.
        minReplicas int32? 2 omitempty  # Least number of pods; 1 unless told.
        maxReplicas int32 3 required  # Greatest number of pods.
        targetCPUUtilizationPercentage int32? 4 omitempty

      struct HorizontalPodAutoscalerStatus
        observedGeneration int64? 1 omitempty  # Generation that the controller has seen.
        lastScaleTime Time? 2 omitempty
        currentReplicas int32 3 required
        desiredReplicas int32 4 required
        currentCPUUtilizationPercentage int32? 5 omitempty

      struct ScaleSpec
        replicas int32 1 omitempty default=0  # Number of pods.

      struct ScaleStatus
        replicas int32 1 required  # Number of pods.
        selector string 2 omitempty

      struct MetricSpec
        type MetricSourceType 1 required nonempty
        object ObjectMetricSource? 2 omitempty
        pods PodsMetricSource? 3 omitempty
        resource ResourceMetricSource? 4 omitempty
        containerResource ContainerResourceMetricSource? 7 omitempty
        external ExternalMetricSource? 5 omitempty

      struct ObjectMetricSource
        target CrossVersionObjectReference 1 required
        metricName string 2 required nonempty
        targetValue Quantity 3 required
        selector meta.LabelSelector? 4 omitempty
        averageValue Quantity? 5 omitempty

      struct PodsMetricSource
        metricName string 1 required nonempty
        targetAverageValue Quantity 2 required
        selector meta.LabelSelector? 3 omitempty

      struct ResourceMetricSource
        name core.ResourceName 1 required nonempty
        targetAverageUtilization int32? 2 omitempty
        targetAverageValue Quantity? 3 omitempty

      struct ContainerResourceMetricSource
        name core.ResourceName 1 required nonempty
        targetAverageUtilization int32? 2 omitempty
        targetAverageValue Quantity? 3 omitempty
        container string 5 required nonempty

      struct ExternalMetricSource
        metricName string 1 required nonempty
        metricSelector meta.LabelSelector? 2 omitempty
        targetValue Quantity? 3 omitempty
        targetAverageValue Quantity? 4 omitempty

      struct MetricStatus
        type MetricSourceType 1 required
        object ObjectMetricStatus? 2 omitempty
        pods PodsMetricStatus? 3 omitempty
        resource ResourceMetricStatus? 4 omitempty
        containerResource ContainerResourceMetricStatus? 7 omitempty
        external ExternalMetricStatus? 5 omitempty

      struct HorizontalPodAutoscalerCondition
        type HorizontalPodAutoscalerConditionType 1 required  # Which aspect, in one word.
        status core.ConditionStatus 2 required  # True, False or Unknown.
        lastTransitionTime Time 3 omitempty  # When the status last changed.
        reason string 4 omitempty  # Why, in one word.
        message string 5 omitempty  # Why, for people.
        observedGeneration int64? 6 omitempty  # Generation that the controller has seen.

      struct ObjectMetricStatus
        target CrossVersionObjectReference 1 required
        metricName string 2 required
        currentValue Quantity 3 required
        selector meta.LabelSelector? 4 omitempty
        averageValue Quantity? 5 omitempty

      struct PodsMetricStatus
        metricName string 1 required
        currentAverageValue Quantity 2 required
        selector meta.LabelSelector? 3 omitempty

      struct ResourceMetricStatus
        name core.ResourceName 1 required
        currentAverageUtilization int32? 2 omitempty
        currentAverageValue Quantity 3 required

      struct ContainerResourceMetricStatus
        name core.ResourceName 1 required
        currentAverageUtilization int32? 2 omitempty
        currentAverageValue Quantity 3 required
        container string 4 required

      struct ExternalMetricStatus
        metricName string 1 required
        metricSelector meta.LabelSelector? 2 omitempty
        currentValue Quantity 3 required
        currentAverageValue Quantity? 4 omitempty

      """#
    ),
    (
      "autoscaling.v2",
      #"""
      // autoscaling/v2

      schema autoscaling/v2 as autoscaling2 priority 17500 30

      enum HPAScalingPolicyType Pods Percent
      enum HorizontalPodAutoscalerConditionType ScalingActive AbleToScale ScalingLimited ScaledToZero open
      enum MetricSourceType Object Pods Resource ContainerResource External
      enum MetricTargetType Utilization Value AverageValue
      enum ScalingPolicySelect Max Min Disabled

      kind HorizontalPodAutoscaler  # HorizontalPodAutoscaler changes the number of pods of a workload by what it measures.
        @resource horizontalpodautoscalers horizontalpodautoscaler hpa
        @categories all
        @subresource status get,patch,update
        @column string/name Name
        @column string Reference
        @column string Targets
        @column string MinPods
        @column string MaxPods
        @column string Replicas
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec HorizontalPodAutoscalerSpec 2 omitempty required  # The wanted state.
        status HorizontalPodAutoscalerStatus 3 omitempty  # The last observed state.

      struct HorizontalPodAutoscalerSpec
        scaleTargetRef CrossVersionObjectReference 1 required  # The workload to scale.
        minReplicas int32? 2 omitempty  # Least number of pods; 1 unless told.
        maxReplicas int32 3 required  # Greatest number of pods.
        metrics [MetricSpec] 4 omitempty
        behavior HorizontalPodAutoscalerBehavior? 5 omitempty

      struct CrossVersionObjectReference
        kind string 1 required
        name string 2 required
        apiVersion string 3 omitempty

      struct MetricSpec
        type MetricSourceType 1 required nonempty
        object ObjectMetricSource? 2 omitempty
        pods PodsMetricSource? 3 omitempty
        resource ResourceMetricSource? 4 omitempty
        containerResource ContainerResourceMetricSource? 7 omitempty
        external ExternalMetricSource? 5 omitempty

      struct HorizontalPodAutoscalerBehavior
        scaleUp HPAScalingRules? 1 omitempty
        scaleDown HPAScalingRules? 2 omitempty

      struct HPAScalingRules
        stabilizationWindowSeconds int32? 3 omitempty
        selectPolicy ScalingPolicySelect? 1 omitempty
        policies [HPAScalingPolicy] 2 omitempty
        tolerance Quantity? 4 omitempty

      struct HPAScalingPolicy
        type HPAScalingPolicyType 1 required nonempty
        value int32 2 required
        periodSeconds int32 3 required

      struct ObjectMetricSource
        describedObject CrossVersionObjectReference 1 required
        target MetricTarget 2 required
        metric MetricIdentifier 3 required

      struct PodsMetricSource
        metric MetricIdentifier 1 required
        target MetricTarget 2 required

      struct ResourceMetricSource
        name core.ResourceName 1 required nonempty
        target MetricTarget 2 required

      struct ContainerResourceMetricSource
        name core.ResourceName 1 required nonempty
        target MetricTarget 2 required
        container string 3 required nonempty

      struct ExternalMetricSource
        metric MetricIdentifier 1 required
        target MetricTarget 2 required

      struct MetricIdentifier
        name string 1 required nonempty
        selector meta.LabelSelector? 2 omitempty

      struct MetricTarget
        type MetricTargetType 1 required nonempty
        value Quantity? 2 omitempty
        averageValue Quantity? 3 omitempty
        averageUtilization int32? 4 omitempty

      struct HorizontalPodAutoscalerStatus
        observedGeneration int64? 1 omitempty  # Generation that the controller has seen.
        lastScaleTime Time? 2 omitempty
        currentReplicas int32 3 omitempty
        desiredReplicas int32 4 required
        currentMetrics [MetricStatus] 5
        conditions [HorizontalPodAutoscalerCondition] 6 omitempty merge=type keys=type  # Aspects of the current state.

      struct HorizontalPodAutoscalerCondition
        type HorizontalPodAutoscalerConditionType 1 required  # Which aspect, in one word.
        status core.ConditionStatus 2 required  # True, False or Unknown.
        lastTransitionTime Time 3 omitempty  # When the status last changed.
        reason string 4 omitempty  # Why, in one word.
        message string 5 omitempty  # Why, for people.
        observedGeneration int64? 6 omitempty  # Generation that the controller has seen.

      struct MetricStatus
        type MetricSourceType 1 required
        object ObjectMetricStatus? 2 omitempty
        pods PodsMetricStatus? 3 omitempty
        resource ResourceMetricStatus? 4 omitempty
        containerResource ContainerResourceMetricStatus? 7 omitempty
        external ExternalMetricStatus? 5 omitempty

      struct ObjectMetricStatus
        metric MetricIdentifier 1 required
        current MetricValueStatus 2 required
        describedObject CrossVersionObjectReference 3 required

      struct PodsMetricStatus
        metric MetricIdentifier 1 required
        current MetricValueStatus 2 required

      struct ResourceMetricStatus
        name core.ResourceName 1 required
        current MetricValueStatus 2 required

      struct ContainerResourceMetricStatus
        name core.ResourceName 1 required
        current MetricValueStatus 2 required
        container string 3 required

      struct ExternalMetricStatus
        metric MetricIdentifier 1 required
        current MetricValueStatus 2 required

      struct MetricValueStatus
        value Quantity? 1 omitempty
        averageValue Quantity? 2 omitempty
        averageUtilization int32? 3 omitempty

      """#
    ),
    (
      "batch.v1",
      #"""
      // batch/v1

      schema batch/v1 as batch priority 17400 15

      enum CompletionMode NonIndexed Indexed
      enum ConcurrencyPolicy Allow Forbid Replace
      enum JobConditionType Suspended Complete Failed FailureTarget SuccessCriteriaMet open
      enum PodFailurePolicyAction FailJob FailIndex Ignore Count
      enum PodFailurePolicyOnExitCodesOperator In NotIn
      enum PodReplacementPolicy TerminatingOrFailed Failed

      kind Job  # Job runs pods until a number of them has succeeded.
        @resource jobs job
        @categories all
        @subresource status get,patch,update
        @column string/name Name
        @column string Status
        @column string Completions
        @column string Duration
        @column string Age
        @column string!1 Containers
        @column string!1 Images
        @column string!1 Selector
        metadata meta.ObjectMeta 1 omitempty
        spec JobSpec 2 omitempty
        status JobStatus 3 omitempty  # The last observed state.

      kind CronJob  # CronJob starts jobs at the times of a schedule.
        @resource cronjobs cronjob cj
        @categories all
        @subresource status get,patch,update
        @column string/name Name
        @column string Schedule
        @column string Timezone
        @column boolean Suspend
        @column integer Active
        @column string Last Schedule
        @column string Age
        @column string!1 Containers
        @column string!1 Images
        @column string!1 Selector
        metadata meta.ObjectMeta 1 omitempty
        spec CronJobSpec 2 omitempty required
        status CronJobStatus 3 omitempty  # The last observed state.

      struct PodFailurePolicyOnExitCodesRequirement
        containerName string? 1 omitempty
        operator PodFailurePolicyOnExitCodesOperator 2 required nonempty
        values [int32] 3 required set

      struct PodFailurePolicyOnPodConditionsPattern
        type core.PodConditionType 1 required nonempty
        status core.ConditionStatus 2  # The last observed state.

      struct PodFailurePolicyRule
        action PodFailurePolicyAction 1 required
        onExitCodes PodFailurePolicyOnExitCodesRequirement? 2 omitempty
        onPodConditions [PodFailurePolicyOnPodConditionsPattern] 3 omitempty

      struct PodFailurePolicy
        rules [PodFailurePolicyRule] 1 required

      struct SuccessPolicy
        rules [SuccessPolicyRule] 1 required

      struct SuccessPolicyRule
        succeededIndexes string? 1 omitempty
        succeededCount int32? 2 omitempty

      struct JobSpec  # JobSpec describes how a job runs.
        parallelism int32? 1 omitempty  # How many pods run at the same time.
        completions int32? 2 omitempty  # How many pods must succeed.
        activeDeadlineSeconds int64? 3 omitempty  # Seconds after which the job is ended.
        podFailurePolicy PodFailurePolicy? 11 omitempty
        successPolicy SuccessPolicy? 16 omitempty
        backoffLimit int32? 7 omitempty  # How many failures are tried again; 6 unless told.
        backoffLimitPerIndex int32? 12 omitempty
        maxFailedIndexes int32? 13 omitempty
        selector meta.LabelSelector? 4 omitempty
        manualSelector bool? 5 omitempty
        template core.PodTemplateSpec 6 required  # Their restart policy is Never or OnFailure.
        ttlSecondsAfterFinished int32? 8 omitempty  # Seconds after its end when the job is deleted.
        completionMode CompletionMode? 9 omitempty  # NonIndexed, or Indexed to number the pods.
        suspend bool? 10 omitempty  # Whether the job waits.
        podReplacementPolicy PodReplacementPolicy? 14 omitempty
        managedBy string? 15 omitempty

      struct JobStatus
        conditions [JobCondition] 1 omitempty merge=type  # Aspects of the current state.
        startTime Time? 2 omitempty
        completionTime Time? 3 omitempty
        active int32 4 omitempty
        succeeded int32 5 omitempty
        failed int32 6 omitempty
        terminating int32? 11 omitempty
        completedIndexes string 7 omitempty
        failedIndexes string? 10 omitempty
        uncountedTerminatedPods UncountedTerminatedPods? 8 omitempty
        ready int32? 9 omitempty

      struct UncountedTerminatedPods
        succeeded [string] 1 omitempty set
        failed [string] 2 omitempty set

      struct JobCondition
        type JobConditionType 1 required  # Which aspect, in one word.
        status core.ConditionStatus 2 required  # True, False or Unknown.
        lastProbeTime Time 3 omitempty  # When it was last checked.
        lastTransitionTime Time 4 omitempty  # When the status last changed.
        reason string 5 omitempty  # Why, in one word.
        message string 6 omitempty  # Why, for people.

      struct JobTemplateSpec
        metadata meta.ObjectMeta 1 omitempty
        spec JobSpec 2 omitempty

      struct CronJobSpec  # CronJobSpec describes when and how jobs are started.
        schedule string 1 required nonempty  # When to start, in cron's five fields.
        timeZone string? 8 omitempty  # Time zone of the schedule; the server's unless told.
        startingDeadlineSeconds int64? 2 omitempty  # Seconds a missed start may be late.
        concurrencyPolicy ConcurrencyPolicy 3 omitempty  # Allow, Forbid or Replace: what happens when the last job still runs.
        suspend bool? 4 omitempty  # Whether no jobs are started.
        jobTemplate JobTemplateSpec 5 required  # The jobs to start.
        successfulJobsHistoryLimit int32? 6 omitempty  # How many ended jobs are kept; 3 unless told.
        failedJobsHistoryLimit int32? 7 omitempty  # How many failed jobs are kept; 1 unless told.

      struct CronJobStatus
        active [core.ObjectReference] 1 omitempty
        lastScheduleTime Time? 4 omitempty
        lastSuccessfulTime Time? 5 omitempty

      """#
    ),
    (
      "certificates.v1",
      #"""
      // certificates.k8s.io/v1

      schema certificates.k8s.io/v1 as certificates priority 17300 15

      enum KeyUsage signing digital signature content commitment key encipherment key agreement data encipherment cert sign crl sign encipher only decipher only any server auth client auth code signing email protection s/mime ipsec end system ipsec tunnel ipsec user timestamping ocsp signing microsoft sgc netscape sgc open
      enum RequestConditionType Approved Denied Failed open

      kind CertificateSigningRequest  # CertificateSigningRequest asks a signer for a certificate.
        @resource certificatesigningrequests certificatesigningrequest csr
        @scope cluster
        @subresource approval get,patch,update
        @subresource status get,patch,update
        @column string/name Name
        @column string Age
        @column string SignerName
        @column string Requestor
        @column string RequestedDuration
        @column string Condition
        metadata meta.ObjectMeta 1 omitempty
        spec CertificateSigningRequestSpec 2 required  # The wanted state.
        status CertificateSigningRequestStatus 3 omitempty  # The last observed state.

      kind ClusterTrustBundle  # ClusterTrustBundle publishes root certificates.
        @resource clustertrustbundles clustertrustbundle
        @scope cluster
        @column string/name Name
        @column string SignerName
        metadata meta.ObjectMeta 1 omitempty
        spec ClusterTrustBundleSpec 2 required  # The wanted state.

      kind PodCertificateRequest  # PodCertificateRequest asks a signer for a certificate for one pod.
        @resource podcertificaterequests podcertificaterequest
        @subresource status get,patch,update
        @column string/name Name
        @column string PodName
        @column string ServiceAccountName
        @column string NodeName
        @column string SignerName
        @column string State
        @column string UnverifiedUserAnnotations
        metadata meta.ObjectMeta 1 omitempty
        spec PodCertificateRequestSpec 2 required  # The wanted state.
        status PodCertificateRequestStatus 3 omitempty  # The last observed state.

      struct CertificateSigningRequestSpec
        request bytes 1 required
        signerName string 7 required nonempty
        expirationSeconds int32? 8 omitempty
        usages [KeyUsage] 5 omitempty
        username string 2 omitempty
        uid string 3 omitempty
        groups [string] 4 omitempty
        extra {[string]} 6 omitempty

      struct CertificateSigningRequestStatus
        conditions [CertificateSigningRequestCondition] 1 omitempty keys=type  # Aspects of the current state.
        certificate bytes 2 omitempty

      struct CertificateSigningRequestCondition
        type RequestConditionType 1 required  # Which aspect, in one word.
        status core.ConditionStatus 6 required  # True, False or Unknown.
        reason string 2 omitempty  # Why, in one word.
        message string 3 omitempty  # Why, for people.
        lastUpdateTime Time 4 omitempty  # When the condition was last written.
        lastTransitionTime Time 5 omitempty  # When the status last changed.

      struct ClusterTrustBundleSpec
        signerName string 1 omitempty
        trustBundle string 2 required nonempty

      struct PodCertificateRequestSpec
        signerName string 1 required nonempty
        podName string 2 required nonempty
        podUID string 3 required nonempty
        serviceAccountName string 4 required nonempty
        serviceAccountUID string 5 required nonempty
        nodeName string 6 required nonempty
        nodeUID string 7 required nonempty
        maxExpirationSeconds int32? 8 omitempty default=86400
        stubPKCS10Request bytes 12 required
        unverifiedUserAnnotations {string} 11 omitempty

      struct PodCertificateRequestStatus
        conditions [meta.Condition] 1 omitempty merge=type keys=type
        certificateChain string 2 omitempty
        notBefore Time? 4 omitempty
        beginRefreshAt Time? 5 omitempty
        notAfter Time? 6 omitempty

      """#
    ),
    (
      "coordination.v1",
      #"""
      // coordination.k8s.io/v1

      schema coordination.k8s.io/v1 as coordination priority 16500 15

      enum CoordinatedLeaseStrategy OldestEmulationVersion

      kind Lease  # Lease is held by one holder for a limited time; nodes and leaders renew theirs.
        @resource leases lease
        @column string/name Name
        @column string Holder
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec LeaseSpec 2 omitempty

      struct LeaseSpec  # LeaseSpec says who holds a lease and until when.
        holderIdentity string? 1 omitempty  # Who holds the lease.
        leaseDurationSeconds int32? 2 omitempty  # Seconds the lease is valid after it was renewed.
        acquireTime MicroTime? 3 omitempty  # When the holder got the lease.
        renewTime MicroTime? 4 omitempty  # When the holder last renewed the lease.
        leaseTransitions int32? 5 omitempty  # How often the holder changed.
        strategy CoordinatedLeaseStrategy? 6 omitempty
        preferredHolder string? 7 omitempty

      """#
    ),
    (
      "core.v1",
      #"""
      // v1

      schema v1 as core priority 18000 1

      enum AppArmorProfileType Unconfined RuntimeDefault Localhost
      enum AzureDataDiskCachingMode None ReadOnly ReadWrite
      enum AzureDataDiskKind Shared Dedicated Managed
      enum ClaimResourceStatus ControllerResizeInProgress ControllerResizeInfeasible NodeResizePending NodeResizeInProgress NodeResizeInfeasible open
      enum ComponentConditionType Healthy open
      enum ConditionStatus True False Unknown
      enum ContainerRestartPolicy Always Never OnFailure
      enum ContainerRestartRuleAction Restart RestartAllContainers
      enum ContainerRestartRuleOnExitCodesOperator In NotIn
      enum DNSPolicy ClusterFirstWithHostNet ClusterFirst Default None
      enum FinalizerName kubernetes open
      enum GRPCProbeMode Plaintext TLS
      enum HTTPProtocol HTTP1 HTTP2 open
      enum HostPathType "" DirectoryOrCreate Directory FileOrCreate File Socket CharDevice BlockDevice
      enum IPFamily IPv4 IPv6 ""
      enum IPFamilyPolicy SingleStack PreferDualStack RequireDualStack
      enum LimitType Pod Container PersistentVolumeClaim
      enum LoadBalancerIPMode VIP Proxy
      enum MountPropagationMode None HostToContainer Bidirectional
      enum NamespaceConditionType NamespaceDeletionDiscoveryFailure NamespaceDeletionContentFailure NamespaceDeletionGroupVersionParsingFailure NamespaceContentRemaining NamespaceFinalizersRemaining open
      enum NamespacePhase Active Terminating
      enum NodeAddressType Hostname InternalIP ExternalIP InternalDNS ExternalDNS open
      enum NodeConditionType Ready MemoryPressure DiskPressure PIDPressure NetworkUnavailable GracefulNodeShutdownInProgress DrainInProgress Drained MaintenancePlanned MaintenanceInProgress open
      enum NodeInclusionPolicy Ignore Honor
      enum NodePhase Pending Running Terminated open
      enum NodeSelectorOperator In NotIn Exists DoesNotExist Gt Lt
      enum OSName linux windows open
      enum PersistentVolumeAccessMode ReadWriteOnce ReadOnlyMany ReadWriteMany ReadWriteOncePod
      enum PersistentVolumeClaimConditionType Resizing FileSystemResizePending ControllerResizeError NodeResizeError ModifyVolumeError ModifyingVolume Unused open
      enum PersistentVolumeClaimModifyVolumeStatus Pending InProgress Infeasible
      enum PersistentVolumeClaimPhase Pending Bound Lost
      enum PersistentVolumeMode Block Filesystem
      enum PersistentVolumePhase Pending Available Bound Released Failed
      enum PersistentVolumeReclaimPolicy Recycle Delete Retain
      enum PodConditionType ContainersReady Initialized Ready PodScheduled DisruptionTarget PodReadyToStartContainers PodResizePending PodResizeInProgress AllContainersRestarting open
      enum PodFSGroupChangePolicy OnRootMismatch Always
      enum PodPhase Pending Running Succeeded Failed Unknown
      enum PodQOSClass Guaranteed Burstable BestEffort open
      enum PodResizeStatus InProgress Deferred Infeasible open
      enum PodSELinuxChangePolicy Recursive MountOption
      enum PreemptionPolicy PreemptLowerPriority Never
      enum ProcMountType Default Unmasked
      enum Protocol TCP UDP SCTP
      enum PullPolicy Always Never IfNotPresent
      enum RecursiveReadOnlyMode Disabled IfPossible Enabled
      enum ReplicationControllerConditionType ReplicaFailure open
      enum ResourceHealthStatus Healthy Unhealthy Unknown
      enum ResourceName cpu memory storage ephemeral-storage pods services replicationcontrollers resourcequotas secrets configmaps persistentvolumeclaims services.nodeports services.loadbalancers requests.cpu requests.memory requests.storage requests.ephemeral-storage limits.cpu limits.memory limits.ephemeral-storage open
      enum ResourceQuotaScope Terminating NotTerminating BestEffort NotBestEffort PriorityClass CrossNamespacePodAffinity VolumeAttributesClass
      enum ResourceResizeRestartPolicy NotRequired RestartContainer
      enum RestartPolicy Always OnFailure Never
      enum ScopeSelectorOperator In NotIn Exists DoesNotExist
      enum SeccompProfileType Unconfined RuntimeDefault Localhost
      enum SecretType Opaque kubernetes.io/service-account-token kubernetes.io/dockercfg kubernetes.io/dockerconfigjson kubernetes.io/basic-auth kubernetes.io/ssh-auth kubernetes.io/tls bootstrap.kubernetes.io/token open
      enum ServiceAffinity ClientIP None
      enum ServiceExternalTrafficPolicy Cluster Local
      enum ServiceInternalTrafficPolicy Cluster Local
      enum ServiceType ClusterIP NodePort LoadBalancer ExternalName
      enum Signal SIGABRT SIGALRM SIGBUS SIGCHLD SIGCLD SIGCONT SIGFPE SIGHUP SIGILL SIGINT SIGIO SIGIOT SIGKILL SIGPIPE SIGPOLL SIGPROF SIGPWR SIGQUIT SIGSEGV SIGSTKFLT SIGSTOP SIGSYS SIGTERM SIGTRAP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ SIGRTMIN SIGRTMIN+1 SIGRTMIN+2 SIGRTMIN+3 SIGRTMIN+4 SIGRTMIN+5 SIGRTMIN+6 SIGRTMIN+7 SIGRTMIN+8 SIGRTMIN+9 SIGRTMIN+10 SIGRTMIN+11 SIGRTMIN+12 SIGRTMIN+13 SIGRTMIN+14 SIGRTMIN+15 SIGRTMAX-14 SIGRTMAX-13 SIGRTMAX-12 SIGRTMAX-11 SIGRTMAX-10 SIGRTMAX-9 SIGRTMAX-8 SIGRTMAX-7 SIGRTMAX-6 SIGRTMAX-5 SIGRTMAX-4 SIGRTMAX-3 SIGRTMAX-2 SIGRTMAX-1 SIGRTMAX open
      enum StorageMedium "" Memory HugePages HugePages- open
      enum SupplementalGroupsPolicy Merge Strict
      enum TaintEffect NoSchedule PreferNoSchedule NoExecute
      enum TerminationMessagePolicy File FallbackToLogsOnError
      enum TolerationOperator Exists Equal Lt Gt
      enum URIScheme HTTP HTTPS
      enum UnsatisfiableConstraintAction DoNotSchedule ScheduleAnyway
      enum VolumeHealthStatusType Inaccessible DataLoss Degraded

      kind PersistentVolume  # PersistentVolume is a piece of storage in the cluster.
        @resource persistentvolumes persistentvolume pv
        @scope cluster
        @subresource status get,patch,update
        @column string/name Name
        @column string Capacity
        @column string Access Modes
        @column string Reclaim Policy
        @column string Status
        @column string Claim
        @column string StorageClass
        @column string VolumeAttributesClass
        @column string Reason
        @column string Age
        @column string!1 VolumeMode
        metadata meta.ObjectMeta 1 omitempty
        spec PersistentVolumeSpec 2 omitempty  # The wanted state.
        status PersistentVolumeStatus 3 omitempty  # The last observed state.

      kind PersistentVolumeClaim  # PersistentVolumeClaim asks for storage and binds to a volume.
        @resource persistentvolumeclaims persistentvolumeclaim pvc
        @subresource status get,patch,update
        @column string/name Name
        @column string Status
        @column string Volume
        @column string Capacity
        @column string Access Modes
        @column string StorageClass
        @column string VolumeAttributesClass
        @column string Age
        @column string!1 VolumeMode
        metadata meta.ObjectMeta 1 omitempty
        spec PersistentVolumeClaimSpec 2 omitempty  # The wanted storage.
        status PersistentVolumeClaimStatus 3 omitempty  # The last observed state.

      kind Pod  # Pod is a group of containers that run together on one node and share a network address and volumes.
        @resource pods pod po
        @categories all
        @subresource attach create,get v1 PodAttachOptions
        @subresource binding create v1 Binding
        @subresource ephemeralcontainers get,patch,update
        @subresource eviction create policy/v1 Eviction
        @subresource exec create,get v1 PodExecOptions
        @subresource log get
        @subresource portforward create,get v1 PodPortForwardOptions
        @subresource proxy create,delete,get,patch,update v1 PodProxyOptions
        @subresource resize get,patch,update
        @subresource status get,patch,update
        @column string/name Name
        @column string Ready
        @column string Status
        @column string Restarts
        @column string Age
        @column string!1 IP
        @column string!1 Node
        @column string!1 Nominated Node
        @column string!1 Readiness Gates
        metadata meta.ObjectMeta 1 omitempty
        spec PodSpec 2 omitempty
        status PodStatus 3 omitempty

      kind PodTemplate  # PodTemplate is a template from which pods are made.
        @resource podtemplates podtemplate
        @column string/name Name
        @column string Containers
        @column string Images
        @column string Pod Labels
        metadata meta.ObjectMeta 1 omitempty
        template PodTemplateSpec 2 omitempty  # The objects to make.

      kind ReplicationController  # ReplicationController keeps a number of pods running; Deployment takes its place.
        @resource replicationcontrollers replicationcontroller rc
        @categories all
        @subresource scale get,patch,update autoscaling/v1 Scale
        @subresource status get,patch,update
        @column string/name Name
        @column integer Desired
        @column integer Current
        @column integer Ready
        @column string Age
        @column string!1 Containers
        @column string!1 Images
        @column string!1 Selector
        metadata meta.ObjectMeta 1 omitempty
        spec ReplicationControllerSpec 2 omitempty  # The wanted state.
        status ReplicationControllerStatus 3 omitempty  # The last observed state.

      kind Service  # Service gives a set of pods one stable address and name.
        @resource services service svc
        @categories all
        @subresource proxy create,delete,get,patch,update v1 ServiceProxyOptions
        @subresource status get,patch,update
        @column string/name Name
        @column string Type
        @column string Cluster-IP
        @column string External-IP
        @column string Port(s)
        @column string Age
        @column string!1 Selector
        metadata meta.ObjectMeta 1 omitempty
        spec ServiceSpec 2 omitempty
        status ServiceStatus 3 omitempty

      kind ServiceAccount  # ServiceAccount is the identity of the processes in a pod.
        @resource serviceaccounts serviceaccount sa
        @subresource token create authentication.k8s.io/v1 TokenRequest
        @column string/name Name
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        secrets [ObjectReference] 2 omitempty merge=name keys=name  # Secrets that pods of the account may use.
        imagePullSecrets [LocalObjectReference] 3 omitempty  # Secrets with credentials of image registries for the account's pods.
        automountServiceAccountToken bool? 4 omitempty  # Whether pods of the account get a token mounted.

      kind Endpoints  # Endpoints lists the addresses behind a service; EndpointSlice takes its place.
        @resource endpoints endpoints ep
        @column string/name Name
        @column string Endpoints
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        subsets [EndpointSubset] 2 omitempty

      kind Node  # Node is a machine on which pods run.
        @resource nodes node no
        @scope cluster
        @subresource proxy create,delete,get,patch,update v1 NodeProxyOptions
        @subresource status get,patch,update
        @column string/name Name
        @column string Status
        @column string Roles
        @column string Age
        @column string Version
        @column string!1 Internal-IP
        @column string!1 External-IP
        @column string!1 OS-Image
        @column string!1 Kernel-Version
        @column string!1 Container-Runtime
        metadata meta.ObjectMeta 1 omitempty
        spec NodeSpec 2 omitempty
        status NodeStatus 3 omitempty

      kind Namespace  # Namespace gives names of objects a scope.
        @resource namespaces namespace ns
        @scope cluster
        @verbs create delete get list patch update watch
        @subresource finalize update
        @subresource status get,patch,update
        @column string/name Name
        @column string Status
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec NamespaceSpec 2 omitempty  # The wanted state of the namespace.
        status NamespaceStatus 3 omitempty  # The current state of the namespace.

      kind Binding  # Binding assigns a pod to a node.
        @resource bindings binding
        @verbs create
        metadata meta.ObjectMeta 1 omitempty
        target ObjectReference 2 required

      kind PodLogOptions  # PodLogOptions are the parameters of a request for logs.
        container string 1 omitempty
        follow bool 2 omitempty
        previous bool 3 omitempty
        sinceSeconds int64? 4 omitempty
        sinceTime Time? 5 omitempty
        timestamps bool 6 omitempty
        tailLines int64? 7 omitempty
        limitBytes int64? 8 omitempty
        insecureSkipTLSVerifyBackend bool 9 omitempty
        stream string? 10 omitempty

      kind PodAttachOptions  # PodAttachOptions are the parameters of a request to attach to a container.
        stdin bool 1 omitempty
        stdout bool 2 omitempty
        stderr bool 3 omitempty
        tty bool 4 omitempty
        container string 5 omitempty

      kind PodExecOptions  # PodExecOptions are the parameters of a request to run a command in a container.
        stdin bool 1 omitempty
        stdout bool 2 omitempty
        stderr bool 3 omitempty
        tty bool 4 omitempty
        container string 5 omitempty
        command [string] 6 required

      kind PodPortForwardOptions  # PodPortForwardOptions are the parameters of a request to forward ports of a pod.
        ports [int32] 1 omitempty

      kind PodProxyOptions  # PodProxyOptions are the parameters of a request through a pod's proxy.
        path string 1 omitempty

      kind NodeProxyOptions  # NodeProxyOptions are the parameters of a request through a node's proxy.
        path string 1 omitempty

      kind ServiceProxyOptions  # ServiceProxyOptions are the parameters of a request through a service's proxy.
        path string 1 omitempty

      kind SerializedReference  # SerializedReference is a reference to an object, as written into annotations.
        reference ObjectReference 1 omitempty

      kind Event  # Event reports something that happened to an object.
        @resource events event ev
        @column string Last Seen
        @column string Type
        @column string Reason
        @column string Object
        @column string!1 Subobject
        @column string!1 Source
        @column string Message
        @column string!1 First Seen
        @column string!1 Count
        @column string!1 Name
        metadata meta.ObjectMeta 1
        involvedObject ObjectReference 2 required  # The object that the event is about.
        reason string 3 omitempty  # What happened, in one word.
        message string 4 omitempty  # What happened, for people.
        source EventSource 5 omitempty  # Who reports.
        firstTimestamp Time 6 omitempty  # When it first happened.
        lastTimestamp Time 7 omitempty  # When it last happened.
        count int32 8 omitempty  # How often it happened.
        type string 9 omitempty  # Normal or Warning.
        eventTime MicroTime 10 omitempty
        series EventSeries? 11 omitempty
        action string 12 omitempty
        related ObjectReference? 13 omitempty
        reportingComponent string 14
        reportingInstance string 15

      kind LimitRange  # LimitRange sets defaults and bounds for the resources of pods and containers in a namespace.
        @resource limitranges limitrange limits
        @column string/name Name
        @column date Created At
        metadata meta.ObjectMeta 1 omitempty
        spec LimitRangeSpec 2 omitempty  # The wanted state.

      kind ResourceQuota  # ResourceQuota limits what all objects of a namespace may use together.
        @resource resourcequotas resourcequota quota
        @subresource status get,patch,update
        @column string/name Name
        @column string Request
        @column string Limit
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec ResourceQuotaSpec 2 omitempty  # The wanted state.
        status ResourceQuotaStatus 3 omitempty  # The last observed state.

      kind Secret  # Secret holds data, such as passwords and keys, that pods read as environment variables or files.
        @resource secrets secret
        @column string/name Name
        @column string Type
        @column string Data
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        immutable bool? 5 omitempty  # Whether the data cannot be changed any more.
        data {bytes} 2 omitempty  # Keys and their bytes, in base64.
        stringData {string} 4 omitempty  # Keys and texts that are written into data; never read back.
        type SecretType 3 omitempty  # What the secret is for, such as kubernetes.io/tls; Opaque unless told.

      kind ConfigMap  # ConfigMap holds configuration that pods read as environment variables or files.
        @resource configmaps configmap cm
        @column string/name Name
        @column string Data
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        immutable bool? 4 omitempty  # Whether the data cannot be changed any more.
        data {string} 2 omitempty  # Keys and their texts.
        binaryData {bytes} 3 omitempty  # Keys and their bytes, in base64.

      kind ComponentStatus  # ComponentStatus reports the health of a part of the control plane; deprecated.
        @resource componentstatuses componentstatus cs
        @scope cluster
        @verbs get list
        @column string/name Name
        @column string Status
        @column string Message
        @column string Error
        metadata meta.ObjectMeta 1 omitempty
        conditions [ComponentCondition] 2 omitempty merge=type keys=type  # Aspects of the current state.

      kind RangeAllocation  # RangeAllocation records which addresses or ports of a range are taken.
        metadata meta.ObjectMeta 1 omitempty
        range string 2 required nonempty
        data bytes 3 required

      struct Volume  # Volume is a folder that containers of the pod can mount.
        name string 1 required nonempty  # Name of the volume, unique in the pod.
        ...VolumeSource 2

      struct VolumeSource
        hostPath HostPathVolumeSource? 1 omitempty
        emptyDir EmptyDirVolumeSource? 2 omitempty
        gcePersistentDisk GCEPersistentDiskVolumeSource? 3 omitempty
        awsElasticBlockStore AWSElasticBlockStoreVolumeSource? 4 omitempty
        gitRepo GitRepoVolumeSource? 5 omitempty
        secret SecretVolumeSource? 6 omitempty
        nfs NFSVolumeSource? 7 omitempty  # A folder of an NFS server.
        iscsi ISCSIVolumeSource? 8 omitempty
        glusterfs GlusterfsVolumeSource? 9 omitempty
        persistentVolumeClaim PersistentVolumeClaimVolumeSource? 10 omitempty  # The volume of a claim in the same namespace.
        rbd RBDVolumeSource? 11 omitempty
        flexVolume FlexVolumeSource? 12 omitempty
        cinder CinderVolumeSource? 13 omitempty
        cephfs CephFSVolumeSource? 14 omitempty
        flocker FlockerVolumeSource? 15 omitempty
        downwardAPI DownwardAPIVolumeSource? 16 omitempty
        fc FCVolumeSource? 17 omitempty
        azureFile AzureFileVolumeSource? 18 omitempty
        configMap ConfigMapVolumeSource? 19 omitempty
        vsphereVolume VsphereVirtualDiskVolumeSource? 20 omitempty
        quobyte QuobyteVolumeSource? 21 omitempty
        azureDisk AzureDiskVolumeSource? 22 omitempty
        photonPersistentDisk PhotonPersistentDiskVolumeSource? 23 omitempty
        projected ProjectedVolumeSource? 26 omitempty
        portworxVolume PortworxVolumeSource? 24 omitempty
        scaleIO ScaleIOVolumeSource? 25 omitempty
        storageos StorageOSVolumeSource? 27 omitempty
        csi CSIVolumeSource? 28 omitempty  # Storage of a driver.
        ephemeral EphemeralVolumeSource? 29 omitempty  # A claim that lives as long as the pod.
        image ImageVolumeSource? 30 omitempty  # The contents of an image.

      struct PersistentVolumeClaimVolumeSource
        claimName string 1 required nonempty  # Name of the claim.
        readOnly bool 2 omitempty  # Whether it can only be read.

      struct PersistentVolumeSource
        gcePersistentDisk GCEPersistentDiskVolumeSource? 1 omitempty
        awsElasticBlockStore AWSElasticBlockStoreVolumeSource? 2 omitempty
        hostPath HostPathVolumeSource? 3 omitempty
        glusterfs GlusterfsPersistentVolumeSource? 4 omitempty
        nfs NFSVolumeSource? 5 omitempty
        rbd RBDPersistentVolumeSource? 6 omitempty
        iscsi ISCSIPersistentVolumeSource? 7 omitempty
        cinder CinderPersistentVolumeSource? 8 omitempty
        cephfs CephFSPersistentVolumeSource? 9 omitempty
        fc FCVolumeSource? 10 omitempty
        flocker FlockerVolumeSource? 11 omitempty
        flexVolume FlexPersistentVolumeSource? 12 omitempty
        azureFile AzureFilePersistentVolumeSource? 13 omitempty
        vsphereVolume VsphereVirtualDiskVolumeSource? 14 omitempty
        quobyte QuobyteVolumeSource? 15 omitempty
        azureDisk AzureDiskVolumeSource? 16 omitempty
        photonPersistentDisk PhotonPersistentDiskVolumeSource? 17 omitempty
        portworxVolume PortworxVolumeSource? 18 omitempty
        scaleIO ScaleIOPersistentVolumeSource? 19 omitempty
        local LocalVolumeSource? 20 omitempty
        storageos StorageOSPersistentVolumeSource? 21 omitempty
        csi CSIPersistentVolumeSource? 22 omitempty

      struct PersistentVolumeSpec
        capacity {Quantity} 1 omitempty
        ...PersistentVolumeSource 2
        accessModes [PersistentVolumeAccessMode] 3 omitempty
        claimRef ObjectReference? 4 omitempty
        persistentVolumeReclaimPolicy PersistentVolumeReclaimPolicy 5 omitempty
        storageClassName string 6 omitempty
        mountOptions [string] 7 omitempty
        volumeMode PersistentVolumeMode? 8 omitempty
        nodeAffinity VolumeNodeAffinity? 9 omitempty
        volumeAttributesClassName string? 10 omitempty

      struct VolumeNodeAffinity
        required NodeSelector? 1 omitempty

      struct PersistentVolumeStatus
        phase PersistentVolumePhase 1 omitempty
        message string 2 omitempty
        reason string 3 omitempty
        lastPhaseTransitionTime Time? 4 omitempty

      struct PersistentVolumeClaimSpec
        accessModes [PersistentVolumeAccessMode] 1 omitempty  # How the volume is mounted, such as ReadWriteOnce.
        selector meta.LabelSelector? 4 omitempty
        resources VolumeResourceRequirements 2 omitempty  # How much storage is wanted.
        volumeName string 3 omitempty  # Volume that is bound to the claim.
        storageClassName string? 5 omitempty  # Class of the storage.
        volumeMode PersistentVolumeMode? 6 omitempty  # Filesystem or Block.
        dataSource TypedLocalObjectReference? 7 omitempty
        dataSourceRef TypedObjectReference? 8 omitempty
        volumeAttributesClassName string? 9 omitempty

      struct TypedObjectReference
        apiGroup string? 1  # API group of the kind that is named.
        kind string 2 required
        name string 3 required
        namespace string? 4 omitempty  # Namespace of the object that is named.

      struct ModifyVolumeStatus
        targetVolumeAttributesClassName string 1 omitempty
        status PersistentVolumeClaimModifyVolumeStatus 2 required  # The last observed state.

      struct PersistentVolumeClaimCondition
        type PersistentVolumeClaimConditionType 1 required  # Which aspect, in one word.
        status ConditionStatus 2 required  # True, False or Unknown.
        lastProbeTime Time 3 omitempty  # When it was last checked.
        lastTransitionTime Time 4 omitempty  # When the status last changed.
        reason string 5 omitempty  # Why, in one word.
        message string 6 omitempty  # Why, for people.

      struct VolumeHealthCondition
        status VolumeHealthStatusType 1 required  # True, False or Unknown.
        reason string 2 required  # Why, in one word.
        message string 3 omitempty  # Why, for people.

      struct VolumeHealthStatus
        healthConditions [VolumeHealthCondition] 1 omitempty merge=status keys=status,reason
        lastTransitionTime Time 2 omitempty  # When the status last changed.

      struct PodVolumeHealth
        name string 1 required nonempty
        healthConditions [VolumeHealthCondition] 2 omitempty merge=status keys=status,reason
        lastTransitionTime Time 3 omitempty  # When the status last changed.

      struct PersistentVolumeClaimStatus
        phase PersistentVolumeClaimPhase 1 omitempty
        accessModes [PersistentVolumeAccessMode] 2 omitempty
        capacity {Quantity} 3 omitempty
        conditions [PersistentVolumeClaimCondition] 4 omitempty merge=type keys=type  # Aspects of the current state.
        allocatedResources {Quantity} 5 omitempty
        allocatedResourceStatuses {ClaimResourceStatus} 7 omitempty
        currentVolumeAttributesClassName string? 8 omitempty
        modifyVolumeStatus ModifyVolumeStatus? 9 omitempty
        healthStatus VolumeHealthStatus? 10 omitempty

      struct HostPathVolumeSource  # HostPathVolumeSource is a file or folder of the node.
        path string 1 required nonempty  # Path on the node.
        type HostPathType? 2 omitempty  # What must be at the path, such as DirectoryOrCreate.

      struct EmptyDirVolumeSource  # EmptyDirVolumeSource is a folder that lives as long as the pod.
        medium StorageMedium 1 omitempty  # Memory keeps the folder in memory.
        sizeLimit Quantity? 2 omitempty  # Size after which the pod is evicted.
        mode int32? 3 omitempty

      struct GlusterfsVolumeSource
        endpoints string 1 required nonempty
        path string 2 required nonempty
        readOnly bool 3 omitempty  # Whether it can only be read.

      struct GlusterfsPersistentVolumeSource
        endpoints string 1 required nonempty
        path string 2 required nonempty
        readOnly bool 3 omitempty  # Whether it can only be read.
        endpointsNamespace string? 4 omitempty

      struct RBDVolumeSource
        monitors [string] 1 required
        image string 2 required nonempty
        fsType string 3 omitempty  # Type of the file system.
        pool string 4 omitempty default="rbd"
        user string 5 omitempty default="admin"
        keyring string 6 omitempty default="/etc/ceph/keyring"
        secretRef LocalObjectReference? 7 omitempty
        readOnly bool 8 omitempty  # Whether it can only be read.

      struct RBDPersistentVolumeSource
        monitors [string] 1 required
        image string 2 required nonempty
        fsType string 3 omitempty  # Type of the file system.
        pool string 4 omitempty default="rbd"
        user string 5 omitempty default="admin"
        keyring string 6 omitempty default="/etc/ceph/keyring"
        secretRef SecretReference? 7 omitempty
        readOnly bool 8 omitempty  # Whether it can only be read.

      struct CinderVolumeSource
        volumeID string 1 required nonempty
        fsType string 2 omitempty  # Type of the file system.
        readOnly bool 3 omitempty  # Whether it can only be read.
        secretRef LocalObjectReference? 4 omitempty

      struct CinderPersistentVolumeSource
        volumeID string 1 required nonempty
        fsType string 2 omitempty  # Type of the file system.
        readOnly bool 3 omitempty  # Whether it can only be read.
        secretRef SecretReference? 4 omitempty

      struct CephFSVolumeSource
        monitors [string] 1 required
        path string 2 omitempty
        user string 3 omitempty
        secretFile string 4 omitempty
        secretRef LocalObjectReference? 5 omitempty
        readOnly bool 6 omitempty  # Whether it can only be read.

      struct SecretReference
        name string 1 omitempty
        namespace string 2 omitempty  # Namespace of the object that is named.

      struct CephFSPersistentVolumeSource
        monitors [string] 1 required
        path string 2 omitempty
        user string 3 omitempty
        secretFile string 4 omitempty
        secretRef SecretReference? 5 omitempty
        readOnly bool 6 omitempty  # Whether it can only be read.

      struct FlockerVolumeSource
        datasetName string 1 omitempty
        datasetUUID string 2 omitempty

      struct GCEPersistentDiskVolumeSource
        pdName string 1 required nonempty
        fsType string 2 omitempty  # Type of the file system.
        partition int32 3 omitempty
        readOnly bool 4 omitempty  # Whether it can only be read.

      struct QuobyteVolumeSource
        registry string 1 required nonempty
        volume string 2 required nonempty
        readOnly bool 3 omitempty  # Whether it can only be read.
        user string 4 omitempty
        group string 5 omitempty
        tenant string 6 omitempty

      struct FlexPersistentVolumeSource
        driver string 1 required nonempty
        fsType string 2 omitempty  # Type of the file system.
        secretRef SecretReference? 3 omitempty
        readOnly bool 4 omitempty  # Whether it can only be read.
        options {string} 5 omitempty

      struct FlexVolumeSource
        driver string 1 required nonempty
        fsType string 2 omitempty  # Type of the file system.
        secretRef LocalObjectReference? 3 omitempty
        readOnly bool 4 omitempty  # Whether it can only be read.
        options {string} 5 omitempty

      struct AWSElasticBlockStoreVolumeSource
        volumeID string 1 required nonempty
        fsType string 2 omitempty  # Type of the file system.
        partition int32 3 omitempty
        readOnly bool 4 omitempty  # Whether it can only be read.

      struct GitRepoVolumeSource
        repository string 1 required nonempty
        revision string 2 omitempty
        directory string 3 omitempty

      struct SecretVolumeSource  # SecretVolumeSource shows the keys of a Secret as files.
        secretName string 1 omitempty  # Name of the Secret.
        items [KeyToPath] 2 omitempty  # Every key unless told.
        defaultMode int32? 3 omitempty  # Mode of the files; 0644 unless told.
        optional bool? 4 omitempty  # Whether a missing object or key is no error.
        defaultUser int64? 5 omitempty

      struct SecretProjection
        ...LocalObjectReference 1
        items [KeyToPath] 2 omitempty  # Every key unless told.
        optional bool? 4 omitempty  # Whether a missing object or key is no error.

      struct NFSVolumeSource
        server string 1 required nonempty
        path string 2 required nonempty
        readOnly bool 3 omitempty  # Whether it can only be read.

      struct ISCSIVolumeSource
        targetPortal string 1 required nonempty
        iqn string 2 required nonempty
        lun int32 3 required
        iscsiInterface string 4 omitempty default="default"
        fsType string 5 omitempty  # Type of the file system.
        readOnly bool 6 omitempty  # Whether it can only be read.
        portals [string] 7 omitempty
        chapAuthDiscovery bool 8 omitempty
        chapAuthSession bool 11 omitempty
        secretRef LocalObjectReference? 10 omitempty
        initiatorName string? 12 omitempty

      struct ISCSIPersistentVolumeSource
        targetPortal string 1 required nonempty
        iqn string 2 required nonempty
        lun int32 3 required
        iscsiInterface string 4 omitempty default="default"
        fsType string 5 omitempty  # Type of the file system.
        readOnly bool 6 omitempty  # Whether it can only be read.
        portals [string] 7 omitempty
        chapAuthDiscovery bool 8 omitempty
        chapAuthSession bool 11 omitempty
        secretRef SecretReference? 10 omitempty
        initiatorName string? 12 omitempty

      struct FCVolumeSource
        targetWWNs [string] 1 omitempty
        lun int32? 2 omitempty
        fsType string 3 omitempty  # Type of the file system.
        readOnly bool 4 omitempty  # Whether it can only be read.
        wwids [string] 5 omitempty

      struct AzureFileVolumeSource
        secretName string 1 required nonempty
        shareName string 2 required nonempty
        readOnly bool 3 omitempty  # Whether it can only be read.

      struct AzureFilePersistentVolumeSource
        secretName string 1 required nonempty
        shareName string 2 required nonempty
        readOnly bool 3 omitempty  # Whether it can only be read.
        secretNamespace string? 4

      struct VsphereVirtualDiskVolumeSource
        volumePath string 1 required nonempty
        fsType string 2 omitempty  # Type of the file system.
        storagePolicyName string 3 omitempty
        storagePolicyID string 4 omitempty

      struct PhotonPersistentDiskVolumeSource
        pdID string 1 required nonempty
        fsType string 2 omitempty  # Type of the file system.

      struct AzureDiskVolumeSource
        diskName string 1 required nonempty
        diskURI string 2 required nonempty
        cachingMode AzureDataDiskCachingMode? 3 omitempty default="ReadWrite"
        fsType string? 4 omitempty default="ext4"  # Type of the file system.
        readOnly bool? 5 omitempty default=false  # Whether it can only be read.
        kind AzureDataDiskKind? 6 omitempty default="Shared"

      struct PortworxVolumeSource
        volumeID string 1 required nonempty
        fsType string 2 omitempty  # Type of the file system.
        readOnly bool 3 omitempty  # Whether it can only be read.

      struct ScaleIOVolumeSource
        gateway string 1 required nonempty
        system string 2 required nonempty
        secretRef LocalObjectReference? 3 required
        sslEnabled bool 4 omitempty
        protectionDomain string 5 omitempty
        storagePool string 6 omitempty
        storageMode string 7 omitempty default="ThinProvisioned"
        volumeName string 8 omitempty
        fsType string 9 omitempty default="xfs"  # Type of the file system.
        readOnly bool 10 omitempty  # Whether it can only be read.

      struct ScaleIOPersistentVolumeSource
        gateway string 1 required nonempty
        system string 2 required nonempty
        secretRef SecretReference? 3 required
        sslEnabled bool 4 omitempty
        protectionDomain string 5 omitempty
        storagePool string 6 omitempty
        storageMode string 7 omitempty default="ThinProvisioned"
        volumeName string 8 omitempty
        fsType string 9 omitempty default="xfs"  # Type of the file system.
        readOnly bool 10 omitempty  # Whether it can only be read.

      struct StorageOSVolumeSource
        volumeName string 1 omitempty
        volumeNamespace string 2 omitempty
        fsType string 3 omitempty  # Type of the file system.
        readOnly bool 4 omitempty  # Whether it can only be read.
        secretRef LocalObjectReference? 5 omitempty

      struct StorageOSPersistentVolumeSource
        volumeName string 1 omitempty
        volumeNamespace string 2 omitempty
        fsType string 3 omitempty  # Type of the file system.
        readOnly bool 4 omitempty  # Whether it can only be read.
        secretRef ObjectReference? 5 omitempty

      struct ConfigMapVolumeSource  # ConfigMapVolumeSource shows the keys of a ConfigMap as files.
        ...LocalObjectReference 1
        items [KeyToPath] 2 omitempty  # Every key unless told.
        defaultMode int32? 3 omitempty  # Mode of the files; 0644 unless told.
        optional bool? 4 omitempty  # Whether a missing object or key is no error.
        defaultUser int64? 5 omitempty

      struct ConfigMapProjection
        ...LocalObjectReference 1
        items [KeyToPath] 2 omitempty  # Every key unless told.
        optional bool? 4 omitempty  # Whether a missing object or key is no error.

      struct ServiceAccountTokenProjection
        audience string 1 omitempty  # For whom the token is; the API server unless told.
        expirationSeconds int64? 2 omitempty  # Seconds the token is valid; it is renewed in time.
        path string 3 required nonempty  # Path of the file in the volume.
        user int64? 4 omitempty

      struct ClusterTrustBundleProjection
        name string? 1 omitempty
        signerName string? 2 omitempty
        labelSelector meta.LabelSelector? 3 omitempty
        optional bool? 5 omitempty  # Whether a missing object or key is no error.
        path string 4 required nonempty
        user int64? 6 omitempty

      struct PodCertificateProjection
        signerName string 1 omitempty required nonempty
        keyType string 2 omitempty required nonempty
        maxExpirationSeconds int32? 3 omitempty
        credentialBundlePath string 4 omitempty
        keyPath string 5 omitempty
        certificateChainPath string 6 omitempty
        userAnnotations {string} 7 omitempty
        user int64? 8 omitempty

      struct ProjectedVolumeSource  # ProjectedVolumeSource puts several sources into one folder.
        sources [VolumeProjection] 1  # What appears in the folder.
        defaultMode int32? 2 omitempty  # Mode of the files; 0644 unless told.
        defaultUser int64? 3 omitempty

      struct VolumeProjection
        secret SecretProjection? 1 omitempty
        downwardAPI DownwardAPIProjection? 2 omitempty
        configMap ConfigMapProjection? 3 omitempty
        serviceAccountToken ServiceAccountTokenProjection? 4 omitempty
        clusterTrustBundle ClusterTrustBundleProjection? 5 omitempty
        podCertificate PodCertificateProjection? 6 omitempty

      struct KeyToPath  # KeyToPath gives a key a file name.
        key string 1 required nonempty  # The key.
        path string 2 required nonempty  # Path of the file in the volume.
        mode int32? 3 omitempty  # Mode of the file.
        user int64? 4 omitempty

      struct LocalVolumeSource
        path string 1 required nonempty
        fsType string? 2 omitempty  # Type of the file system.

      struct CSIPersistentVolumeSource
        driver string 1 required nonempty
        volumeHandle string 2 required nonempty
        readOnly bool 3 omitempty  # Whether it can only be read.
        fsType string 4 omitempty  # Type of the file system.
        volumeAttributes {string} 5 omitempty
        controllerPublishSecretRef SecretReference? 6 omitempty
        nodeStageSecretRef SecretReference? 7 omitempty
        nodePublishSecretRef SecretReference? 8 omitempty
        controllerExpandSecretRef SecretReference? 9 omitempty
        nodeExpandSecretRef SecretReference? 10 omitempty

      struct CSIVolumeSource
        driver string 1 required nonempty
        readOnly bool? 2 omitempty  # Whether it can only be read.
        fsType string? 3 omitempty  # Type of the file system.
        volumeAttributes {string} 4 omitempty
        nodePublishSecretRef LocalObjectReference? 5 omitempty

      struct EphemeralVolumeSource
        volumeClaimTemplate PersistentVolumeClaimTemplate? 1 omitempty

      struct PersistentVolumeClaimTemplate
        metadata meta.ObjectMeta 1 omitempty
        spec PersistentVolumeClaimSpec 2 required  # The wanted state.

      struct ContainerPort  # ContainerPort is a port on which a container listens.
        name string 1 omitempty  # Name by which services refer to the port.
        hostPort int32 2 omitempty  # Port of the node that leads here.
        containerPort int32 3 required  # Number of the port in the container.
        protocol Protocol 4 omitempty default="TCP"  # TCP, UDP or SCTP.
        hostIP string 5 omitempty  # Address of the node on which the host port listens.

      struct VolumeMount  # VolumeMount puts a volume at a path of a container.
        name string 1 required nonempty  # Name of the volume.
        readOnly bool 2 omitempty  # Whether the volume cannot be written here.
        recursiveReadOnly RecursiveReadOnlyMode? 7 omitempty
        mountPath string 3 required nonempty  # Where the volume appears in the container.
        subPath string 4 omitempty  # Folder or file of the volume that is mounted, instead of its root.
        mountPropagation MountPropagationMode? 5 omitempty  # Whether mounts pass between node and container.
        subPathExpr string 6 omitempty  # Like subPath, with $(NAME) for environment variables.
        bindMountOptions [string] 8 omitempty set

      struct VolumeDevice
        name string 1 required nonempty
        devicePath string 2 required

      struct EnvVar  # EnvVar is one environment variable.
        name string 1 required nonempty  # Name of the variable.
        value string 2 omitempty  # Value; $(NAME) stands for an earlier variable.
        valueFrom EnvVarSource? 3 omitempty

      struct EnvVarSource  # EnvVarSource says where a variable's value comes from.
        fieldRef ObjectFieldSelector? 1 omitempty  # A field of the pod.
        resourceFieldRef ResourceFieldSelector? 2 omitempty  # A resource of a container.
        configMapKeyRef ConfigMapKeySelector? 3 omitempty  # A key of a ConfigMap.
        secretKeyRef SecretKeySelector? 4 omitempty  # A key of a Secret.
        fileKeyRef FileKeySelector? 5 omitempty

      struct FileKeySelector
        volumeName string 1 required nonempty
        path string 2 required nonempty
        key string 3 required nonempty
        optional bool? 4 omitempty default=false  # Whether a missing object or key is no error.

      struct ObjectFieldSelector
        apiVersion string 1 omitempty  # Version in which the path is written.
        fieldPath string 2 required nonempty  # Path of the field, such as status.podIP.

      struct ResourceFieldSelector
        containerName string 1 omitempty  # Container whose resource is meant.
        resource string 2 required nonempty  # Resource, such as limits.cpu.
        divisor Quantity 3 omitempty  # Unit of the result.

      struct ConfigMapKeySelector
        ...LocalObjectReference 1
        key string 2 required nonempty  # Key to take.
        optional bool? 3 omitempty  # Whether a missing object or key is no error.

      struct SecretKeySelector
        ...LocalObjectReference 1
        key string 2 required nonempty  # Key to take.
        optional bool? 3 omitempty  # Whether a missing object or key is no error.

      struct EnvFromSource  # EnvFromSource takes every key of a ConfigMap or Secret as a variable.
        prefix string 1 omitempty  # Text put before each name.
        configMapRef ConfigMapEnvSource? 2 omitempty  # The ConfigMap.
        secretRef SecretEnvSource? 3 omitempty  # The Secret.

      struct ConfigMapEnvSource
        ...LocalObjectReference 1
        optional bool? 2 omitempty  # Whether a missing object or key is no error.

      struct SecretEnvSource
        ...LocalObjectReference 1
        optional bool? 2 omitempty  # Whether a missing object or key is no error.

      struct HTTPHeader
        name string 1 required nonempty
        value string 2 required

      struct HTTPGetAction  # HTTPGetAction is an HTTP GET request.
        path string 1 omitempty  # Path of the request.
        port IntOrString 2 required  # Port, by number or name.
        host string 3 omitempty  # Host to connect to; the pod's address unless told.
        scheme URIScheme 4 omitempty  # HTTP or HTTPS.
        httpHeaders [HTTPHeader] 5 omitempty  # Headers of the request.
        protocol HTTPProtocol? 6 omitempty

      struct TCPSocketAction  # TCPSocketAction opens a TCP connection.
        port IntOrString 1 required  # Port, by number or name.
        host string 2 omitempty  # Host to connect to; the pod's address unless told.

      struct GRPCAction  # GRPCAction calls the gRPC health service.
        port int32 1 required
        service string? 2 default=""
        mode GRPCProbeMode? 3 omitempty

      struct ExecAction  # ExecAction runs a command in the container.
        command [string] 1 omitempty  # Program and arguments; no shell is involved.

      struct SleepAction
        seconds int64 1 required

      struct Probe  # Probe is a check that the node makes on a container.
        ...ProbeHandler 1
        initialDelaySeconds int32 2 omitempty  # Seconds to wait after the start.
        timeoutSeconds int32 3 omitempty  # Seconds after which a check fails; 1 unless told.
        periodSeconds int32 4 omitempty  # Seconds between checks; 10 unless told.
        successThreshold int32 5 omitempty  # Successes in a row that make it succeed again; 1 unless told.
        failureThreshold int32 6 omitempty  # Failures in a row that make it fail; 3 unless told.
        terminationGracePeriodSeconds int64? 7 omitempty  # Seconds to end after a failure, instead of the pod's.

      struct ContainerResizePolicy
        resourceName ResourceName 1 required nonempty
        restartPolicy ResourceResizeRestartPolicy 2 required nonempty

      struct Capabilities  # Capabilities are Linux capabilities to add and to drop.
        add [string] 1 omitempty  # Capabilities to add.
        drop [string] 2 omitempty  # Capabilities to drop; ALL drops every one.

      struct ResourceRequirements  # ResourceRequirements is what a container needs at least and may use at most.
        limits {Quantity} 1 omitempty  # What may be used at most.
        requests {Quantity} 2 omitempty  # What is needed at least; the scheduler reserves it.
        claims [ResourceClaim] 3 omitempty keys=name

      struct VolumeResourceRequirements
        limits {Quantity} 1 omitempty
        requests {Quantity} 2 omitempty

      struct ResourceClaim
        name string 1 required nonempty
        request string 2 omitempty

      struct Container  # Container is one container of a pod.
        name string 1 required nonempty  # Name, unique in the pod.
        image string 2 omitempty  # Image to run.
        command [string] 3 omitempty  # Program and first arguments, instead of the image's entry point.
        args [string] 4 omitempty  # Arguments, instead of the image's.
        workingDir string 5 omitempty  # Folder in which the program starts, instead of the image's.
        ports [ContainerPort] 6 omitempty merge=containerPort keys=containerPort,protocol  # A list for people and tools; what it leaves out can be reached, too.
        envFrom [EnvFromSource] 19 omitempty
        env [EnvVar] 7 omitempty merge=name keys=name
        resources ResourceRequirements 8 omitempty
        resizePolicy [ContainerResizePolicy] 23 omitempty  # Whether a resource change restarts the container.
        restartPolicy ContainerRestartPolicy? 24 omitempty  # Always makes an init container a sidecar that keeps running.
        restartPolicyRules [ContainerRestartRule] 25 omitempty
        volumeMounts [VolumeMount] 9 omitempty merge=mountPath keys=mountPath  # Volumes to mount and where.
        volumeDevices [VolumeDevice] 21 omitempty merge=devicePath keys=devicePath  # Block devices of claims.
        livenessProbe Probe? 10 omitempty  # Check after whose failure the container is restarted.
        readinessProbe Probe? 11 omitempty  # Check that decides whether services send traffic here.
        startupProbe Probe? 22 omitempty  # Check that must succeed before the other checks begin.
        lifecycle Lifecycle? 12 omitempty
        terminationMessagePath string 13 omitempty  # File whose contents become the message when the container ends.
        terminationMessagePolicy TerminationMessagePolicy 20 omitempty  # File, or FallbackToLogsOnError to use the end of the log.
        imagePullPolicy PullPolicy 14 omitempty  # Always, IfNotPresent or Never.
        securityContext SecurityContext? 15 omitempty
        stdin bool 16 omitempty  # Whether standard input is open.
        stdinOnce bool 17 omitempty  # Whether standard input closes after the first attach.
        tty bool 18 omitempty  # Whether the container has a terminal.

      struct ProbeHandler
        exec ExecAction? 1 omitempty  # Command that must exit with 0.
        httpGet HTTPGetAction? 2 omitempty  # Request that must be answered with a status from 200 to 399.
        tcpSocket TCPSocketAction? 3 omitempty  # Port that must accept a connection.
        grpc GRPCAction? 4 omitempty

      struct LifecycleHandler
        exec ExecAction? 1 omitempty
        httpGet HTTPGetAction? 2 omitempty
        tcpSocket TCPSocketAction? 3 omitempty
        sleep SleepAction? 4 omitempty

      struct Lifecycle  # Lifecycle holds what to do when a container has started and before it stops.
        postStart LifecycleHandler? 1 omitempty  # Done right after the start; a failure ends the container.
        preStop LifecycleHandler? 2 omitempty  # Done before the container is asked to stop.
        stopSignal Signal? 3 omitempty

      struct ContainerStateWaiting  # ContainerStateWaiting says why a container does not run yet.
        reason string 1 omitempty  # Why the container waits, in one word.
        message string 2 omitempty  # Why the container waits, for people.

      struct ContainerStateRunning  # ContainerStateRunning says since when a container runs.
        startedAt Time 1 omitempty  # When the container started.

      struct ContainerStateTerminated  # ContainerStateTerminated says how a container ended.
        exitCode int32 1 required  # Exit code of the container.
        signal int32 2 omitempty  # Signal that ended the container.
        reason string 3 omitempty  # Why the container ended, in one word.
        message string 4 omitempty
        startedAt Time 5 omitempty  # When the container started.
        finishedAt Time 6 omitempty  # When the container ended.
        containerID string 7 omitempty

      struct ContainerState  # ContainerState says whether a container waits, runs or has ended.
        waiting ContainerStateWaiting? 1 omitempty
        running ContainerStateRunning? 2 omitempty
        terminated ContainerStateTerminated? 3 omitempty

      struct ContainerStatus  # ContainerStatus is the state of one container.
        name string 1 required  # Name of the container.
        state ContainerState 2 omitempty  # What the container does now.
        lastState ContainerState 3 omitempty  # How the container ended the last time.
        ready bool 4 required  # Whether the container passes its readiness check.
        restartCount int32 5 required  # How often the container was restarted.
        image string 6 required  # Image that runs.
        imageID string 7 required  # Digest of the image that runs.
        containerID string 8 omitempty  # Identity of the container, as RUNTIME://ID.
        started bool? 9 omitempty  # Whether the startup check has passed.
        allocatedResources {Quantity} 10 omitempty
        resources ResourceRequirements? 11 omitempty
        volumeMounts [VolumeMountStatus] 12 omitempty merge=mountPath keys=mountPath
        user ContainerUser? 13 omitempty
        allocatedResourcesStatus [ResourceStatus] 14 omitempty merge=name keys=name
        stopSignal Signal? 15 omitempty

      struct ResourceStatus
        name ResourceName 1 required
        resources [ResourceHealth] 2 omitempty keys=resourceID

      struct ResourceHealth
        resourceID string 1 required
        health ResourceHealthStatus 2 omitempty
        message string? 6 omitempty

      struct ContainerUser
        linux LinuxContainerUser? 1 omitempty

      struct LinuxContainerUser
        uid int64 1 required
        gid int64 2 required
        supplementalGroups [int64] 3 omitempty

      struct PodCondition  # PodCondition is one aspect of a pod's state.
        type PodConditionType 1 required  # Which aspect, in one word.
        observedGeneration int64 7 omitempty  # Generation that the controller has seen.
        status ConditionStatus 2 required  # True, False or Unknown.
        lastProbeTime Time 3 omitempty  # When it was last checked.
        lastTransitionTime Time 4 omitempty  # When the status last changed.
        reason string 5 omitempty  # Why, in one word.
        message string 6 omitempty  # Why, for people.

      struct VolumeMountStatus
        name string 1 required
        mountPath string 2 required
        readOnly bool 3 omitempty  # Whether it can only be read.
        recursiveReadOnly RecursiveReadOnlyMode? 4 omitempty
        volumeStatus VolumeStatus? 5 omitempty

      struct VolumeStatus
        image ImageVolumeStatus? 1 omitempty

      struct ImageVolumeStatus
        imageRef string 1 omitempty required

      struct ContainerRestartRule
        action ContainerRestartRuleAction 1 omitempty required
        exitCodes ContainerRestartRuleOnExitCodes? 2 omitempty

      struct ContainerRestartRuleOnExitCodes
        operator ContainerRestartRuleOnExitCodesOperator 1 omitempty required nonempty
        values [int32] 2 omitempty set

      struct NodeSelector
        nodeSelectorTerms [NodeSelectorTerm] 1 required

      struct NodeSelectorTerm
        matchExpressions [NodeSelectorRequirement] 1 omitempty
        matchFields [NodeSelectorRequirement] 2 omitempty

      struct NodeSelectorRequirement
        key string 1 required nonempty
        operator NodeSelectorOperator 2 required nonempty
        values [string] 3 omitempty

      struct TopologySelectorTerm
        matchLabelExpressions [TopologySelectorLabelRequirement] 1 omitempty

      struct TopologySelectorLabelRequirement
        key string 1 required nonempty
        values [string] 2 required

      struct Affinity  # Affinity says near what a pod wants to run, and away from what.
        nodeAffinity NodeAffinity? 1 omitempty  # On which nodes the pod wants to run.
        podAffinity PodAffinity? 2 omitempty  # Near which pods the pod wants to run.
        podAntiAffinity PodAntiAffinity? 3 omitempty  # Away from which pods the pod wants to run.

      struct PodAffinity
        requiredDuringSchedulingIgnoredDuringExecution [PodAffinityTerm] 1 omitempty  # What must hold for the pod to be scheduled.
        preferredDuringSchedulingIgnoredDuringExecution [WeightedPodAffinityTerm] 2 omitempty  # What is preferred, with weights.

      struct PodAntiAffinity
        requiredDuringSchedulingIgnoredDuringExecution [PodAffinityTerm] 1 omitempty  # What must hold for the pod to be scheduled.
        preferredDuringSchedulingIgnoredDuringExecution [WeightedPodAffinityTerm] 2 omitempty  # What is preferred, with weights.

      struct WeightedPodAffinityTerm
        weight int32 1 required
        podAffinityTerm PodAffinityTerm 2 required

      struct PodAffinityTerm
        labelSelector meta.LabelSelector? 1 omitempty  # Pods that are meant.
        namespaces [string] 2 omitempty  # Namespaces of the pods that are meant; the pod's own unless told.
        topologyKey string 3 required nonempty  # Label of nodes that says what near is, such as kubernetes.io/hostname.
        namespaceSelector meta.LabelSelector? 4 omitempty
        matchLabelKeys [string] 5 omitempty
        mismatchLabelKeys [string] 6 omitempty

      struct NodeAffinity
        requiredDuringSchedulingIgnoredDuringExecution NodeSelector? 1 omitempty  # What must hold for the pod to be scheduled.
        preferredDuringSchedulingIgnoredDuringExecution [PreferredSchedulingTerm] 2 omitempty  # What is preferred, with weights.

      struct PreferredSchedulingTerm
        weight int32 1 required
        preference NodeSelectorTerm 2 required

      struct Taint  # Taint keeps pods away from a node that do not tolerate it.
        key string 1 required nonempty  # Key of the taint.
        value string 2 omitempty  # Value of the taint.
        effect TaintEffect 3 required nonempty  # NoSchedule, PreferNoSchedule or NoExecute.
        timeAdded Time? 4 omitempty

      struct Toleration  # Toleration lets a pod run on nodes with a matching taint.
        key string 1 omitempty  # Key of the taint; empty with Exists matches all.
        operator TolerationOperator 2 omitempty  # Equal or Exists.
        value string 3 omitempty  # Value of the taint, for Equal.
        effect TaintEffect 4 omitempty  # Effect of the taint; empty matches all.
        tolerationSeconds int64? 5 omitempty  # Seconds a NoExecute taint is accepted.

      struct PodReadinessGate
        conditionType PodConditionType 1 required nonempty

      struct PodSpec  # PodSpec describes the wanted pod.
        volumes [Volume] 1 omitempty merge=name retainKeys keys=name
        initContainers [Container] 20 omitempty merge=name keys=name  # Containers that run to their end, one after the other, before the others start.
        containers [Container] 2 required merge=name keys=name  # At least one, and fixed once the pod exists.
        ephemeralContainers [EphemeralContainer] 34 omitempty merge=name keys=name
        restartPolicy RestartPolicy 3 omitempty  # Whether ended containers are started again: Always, OnFailure or Never.
        terminationGracePeriodSeconds int64? 4 omitempty  # Seconds between the request to stop and the kill; 30 unless told.
        activeDeadlineSeconds int64? 5 omitempty  # Seconds after which the pod is ended and counts as failed.
        dnsPolicy DNSPolicy 6 omitempty  # Which DNS servers containers ask: ClusterFirst, ClusterFirstWithHostNet, Default or None.
        nodeSelector {string} 7 omitempty atomic  # Labels that a node must have for the pod to run there.
        serviceAccountName string 8 omitempty  # Service account that the pod's processes act as.
        serviceAccount string 9 omitempty  # Old name of serviceAccountName.
        automountServiceAccountToken bool? 21 omitempty  # Whether a token of the service account is mounted.
        nodeName string 10 omitempty  # Node on which the pod runs; the scheduler sets it.
        hostNetwork bool 11 omitempty  # Whether the pod uses the node's network instead of one of its own.
        hostPID bool 12 omitempty  # Whether the pod sees the node's processes.
        hostIPC bool 13 omitempty  # Whether the pod uses the node's IPC namespace.
        shareProcessNamespace bool? 27 omitempty  # Whether the containers see one another's processes.
        securityContext PodSecurityContext? 14 omitempty  # Containers may set their own.
        imagePullSecrets [LocalObjectReference] 15 omitempty merge=name keys=name  # Secrets with credentials of image registries.
        hostname string 16 omitempty  # Host name of the pod; its own name unless told.
        subdomain string 17 omitempty  # Subdomain, so that the pod is called HOSTNAME.SUBDOMAIN.NAMESPACE.svc.
        affinity Affinity? 18 omitempty
        schedulerName string 19 omitempty  # Scheduler that chooses the node.
        tolerations [Toleration] 22 omitempty
        hostAliases [HostAlias] 23 omitempty merge=ip keys=ip  # Extra lines of the containers' hosts file.
        priorityClassName string 24 omitempty  # Priority class of the pod.
        priority int32? 25 omitempty  # Priority; pods of a higher one are scheduled first.
        dnsConfig PodDNSConfig? 26 omitempty  # DNS settings added to those of the policy.
        readinessGates [PodReadinessGate] 28 omitempty  # Conditions that must be true for the pod to be ready.
        runtimeClassName string? 29 omitempty  # Runtime class that runs the pod.
        enableServiceLinks bool? 30 omitempty  # Whether containers get environment variables of the services in the namespace.
        preemptionPolicy PreemptionPolicy? 31 omitempty  # Whether the pod may push away pods of lower priority.
        overhead {Quantity} 32 omitempty  # Resources the pod itself needs beside its containers.
        topologySpreadConstraints [TopologySpreadConstraint] 33 omitempty merge=topologyKey keys=topologyKey,whenUnsatisfiable
        setHostnameAsFQDN bool? 35 omitempty
        os PodOS? 36 omitempty  # Operating system of the containers.
        hostUsers bool? 37 omitempty  # Whether the pod uses the node's user namespace; true unless told.
        schedulingGates [PodSchedulingGate] 38 omitempty merge=name keys=name  # While any is left, the pod is not scheduled.
        resourceClaims [PodResourceClaim] 39 omitempty merge=name retainKeys keys=name
        resources ResourceRequirements? 40 omitempty  # Resources of the whole pod.
        hostnameOverride string? 41 omitempty
        schedulingGroup PodSchedulingGroup? 43 omitempty
        evictionResponders [EvictionResponder] 44 omitempty merge=name keys=name

      struct PodResourceClaim
        name string 1 required nonempty
        resourceClaimName string? 3 omitempty
        resourceClaimTemplateName string? 4 omitempty

      struct PodResourceClaimStatus
        name string 1 required
        resourceClaimName string? 2 omitempty

      struct PodExtendedResourceClaimStatus
        requestMappings [ContainerExtendedResourceRequest] 1 required
        resourceClaimName string 2 required

      struct ContainerExtendedResourceRequest
        containerName string 1 required
        resourceName string 2 required
        requestName string 3 required

      struct PodOS
        name OSName 1 required nonempty

      struct PodSchedulingGate
        name string 1 required nonempty

      struct PodSchedulingGroup
        podGroupName string? 1 omitempty

      struct TopologySpreadConstraint  # TopologySpreadConstraint spreads matching pods over zones, nodes and the like.
        maxSkew int32 1 required
        topologyKey string 2 required nonempty
        whenUnsatisfiable UnsatisfiableConstraintAction 3 required nonempty
        labelSelector meta.LabelSelector? 4 omitempty
        minDomains int32? 5 omitempty
        nodeAffinityPolicy NodeInclusionPolicy? 6 omitempty
        nodeTaintsPolicy NodeInclusionPolicy? 7 omitempty
        matchLabelKeys [string] 8 omitempty

      struct HostAlias
        ip string 1 required nonempty
        hostnames [string] 2 omitempty

      struct PodSecurityContext  # PodSecurityContext sets the privileges of all containers of a pod.
        seLinuxOptions SELinuxOptions? 1 omitempty
        windowsOptions WindowsSecurityContextOptions? 8 omitempty
        runAsUser int64? 2 omitempty  # User id of the first process of each container.
        runAsGroup int64? 6 omitempty  # Group id of the first process of each container.
        runAsNonRoot bool? 3 omitempty  # Whether containers are refused that would run as root.
        supplementalGroups [int64] 4 omitempty  # Further groups of the first process of each container.
        supplementalGroupsPolicy SupplementalGroupsPolicy? 12 omitempty
        fsGroup int64? 5 omitempty  # Group that owns the volumes.
        sysctls [Sysctl] 7 omitempty  # Kernel parameters of the pod's namespaces.
        fsGroupChangePolicy PodFSGroupChangePolicy? 9 omitempty  # OnRootMismatch or Always: when owners in volumes are changed.
        seccompProfile SeccompProfile? 10 omitempty
        appArmorProfile AppArmorProfile? 11 omitempty
        seLinuxChangePolicy PodSELinuxChangePolicy? 13 omitempty

      struct SeccompProfile  # SeccompProfile limits the system calls of a container.
        type SeccompProfileType 1 required nonempty  # RuntimeDefault, Unconfined or Localhost.
        localhostProfile string? 2 omitempty  # File of the profile on the node, for Localhost.

      struct AppArmorProfile
        type AppArmorProfileType 1 required nonempty
        localhostProfile string? 2 omitempty

      struct PodDNSConfig
        nameservers [string] 1 omitempty
        searches [string] 2 omitempty
        options [PodDNSConfigOption] 3 omitempty

      struct PodDNSConfigOption
        name string 1 omitempty
        value string? 2 omitempty

      struct PodIP
        ip string 1 required

      struct HostIP
        ip string 1 required

      struct EphemeralContainerCommon
        name string 1 required nonempty
        image string 2 omitempty
        command [string] 3 omitempty
        args [string] 4 omitempty
        workingDir string 5 omitempty
        ports [ContainerPort] 6 omitempty merge=containerPort keys=containerPort,protocol
        envFrom [EnvFromSource] 19 omitempty
        env [EnvVar] 7 omitempty merge=name keys=name
        resources ResourceRequirements 8 omitempty
        resizePolicy [ContainerResizePolicy] 23 omitempty
        restartPolicy ContainerRestartPolicy? 24 omitempty
        restartPolicyRules [ContainerRestartRule] 25 omitempty
        volumeMounts [VolumeMount] 9 omitempty merge=mountPath keys=mountPath
        volumeDevices [VolumeDevice] 21 omitempty merge=devicePath keys=devicePath
        livenessProbe Probe? 10 omitempty
        readinessProbe Probe? 11 omitempty
        startupProbe Probe? 22 omitempty
        lifecycle Lifecycle? 12 omitempty
        terminationMessagePath string 13 omitempty
        terminationMessagePolicy TerminationMessagePolicy 20 omitempty
        imagePullPolicy PullPolicy 14 omitempty
        securityContext SecurityContext? 15 omitempty
        stdin bool 16 omitempty
        stdinOnce bool 17 omitempty
        tty bool 18 omitempty

      struct EphemeralContainer  # EphemeralContainer is added to a running pod, for debugging.
        ...EphemeralContainerCommon 1
        targetContainerName string 2 omitempty

      struct EvictionResponder
        name string 1 required nonempty
        priority int32? 2 required

      struct PodStatus  # PodStatus is the state of a pod as its node last saw it.
        observedGeneration int64 17 omitempty  # Generation that the controller has seen.
        phase PodPhase 1 omitempty  # Pending, Running, Succeeded, Failed or Unknown.
        conditions [PodCondition] 2 omitempty merge=type keys=type  # Aspects of the state, such as Ready and PodScheduled.
        message string 3 omitempty  # Why the pod is in its phase, for people.
        reason string 4 omitempty  # Why the pod is in its phase, in one word.
        nominatedNodeName string 11 omitempty  # Node where pods are pushed away for this one.
        hostIP string 5 omitempty  # Address of the node.
        hostIPs [HostIP] 16 omitempty merge=ip  # Addresses of the node.
        podIP string 6 omitempty  # Address of the pod.
        podIPs [PodIP] 12 omitempty merge=ip keys=ip  # Addresses of the pod, one per address family.
        startTime Time? 7 omitempty  # When the node took the pod over.
        initContainerStatuses [ContainerStatus] 10 omitempty
        containerStatuses [ContainerStatus] 8 omitempty
        qosClass PodQOSClass 9 omitempty  # Guaranteed, Burstable or BestEffort.
        ephemeralContainerStatuses [ContainerStatus] 13 omitempty
        resize PodResizeStatus 14 omitempty
        resourceClaimStatuses [PodResourceClaimStatus] 15 omitempty merge=name retainKeys keys=name
        extendedResourceClaimStatus PodExtendedResourceClaimStatus? 18 omitempty
        allocatedResources {Quantity} 19 omitempty
        resources ResourceRequirements? 20 omitempty
        nodeAllocatableResourceClaimStatuses [NodeAllocatableResourceClaimStatus] 21 omitempty merge=resourceClaimName keys=resourceClaimName
        volumeHealth [PodVolumeHealth] 22 omitempty keys=name

      struct PodTemplateSpec  # PodTemplateSpec describes the pods that a workload makes.
        metadata meta.ObjectMeta 1 omitempty
        spec PodSpec 2 omitempty

      struct ReplicationControllerSpec
        replicas int32? 1 omitempty default=1  # Number of pods.
        minReadySeconds int32 4 omitempty default=0  # Seconds a new pod must be ready to count as available.
        selector {string} 2 omitempty atomic
        template PodTemplateSpec? 3 omitempty  # The objects to make.

      struct ReplicationControllerStatus
        replicas int32 1 required  # Number of pods.
        fullyLabeledReplicas int32 2 omitempty
        readyReplicas int32 4 omitempty
        availableReplicas int32 5 omitempty
        observedGeneration int64 3 omitempty  # Generation that the controller has seen.
        conditions [ReplicationControllerCondition] 6 omitempty merge=type keys=type  # Aspects of the current state.

      struct ReplicationControllerCondition
        type ReplicationControllerConditionType 1 required  # Which aspect, in one word.
        status ConditionStatus 2 required  # True, False or Unknown.
        lastTransitionTime Time 3 omitempty  # When the status last changed.
        reason string 4 omitempty  # Why, in one word.
        message string 5 omitempty  # Why, for people.

      struct SessionAffinityConfig
        clientIP ClientIPConfig? 1 omitempty

      struct ClientIPConfig
        timeoutSeconds int32? 1 omitempty

      struct ServiceStatus  # ServiceStatus is the current state of a service.
        loadBalancer LoadBalancerStatus 1 omitempty
        conditions [meta.Condition] 2 omitempty merge=type keys=type

      struct LoadBalancerStatus
        ingress [LoadBalancerIngress] 1 omitempty

      struct LoadBalancerIngress
        ip string 1 omitempty
        hostname string 2 omitempty
        ipMode LoadBalancerIPMode? 3 omitempty
        ports [PortStatus] 4 omitempty

      struct ServiceSpec  # ServiceSpec describes a service.
        ports [ServicePort] 1 omitempty merge=port keys=port,protocol
        selector {string} 2 omitempty atomic  # Labels of the pods that serve.
        clusterIP string 3 omitempty  # Address of the service; None makes it headless.
        clusterIPs [string] 18 omitempty  # Addresses of the service, one per address family.
        type ServiceType 4 omitempty  # ClusterIP, NodePort, LoadBalancer or ExternalName.
        externalIPs [string] 5 omitempty  # Further addresses on which nodes accept traffic for the service.
        sessionAffinity ServiceAffinity 7 omitempty  # ClientIP sends a client to the same pod again; None does not.
        loadBalancerIP string 8 omitempty  # Not used any more.
        loadBalancerSourceRanges [string] 9 omitempty
        externalName string 10 omitempty  # DNS name that the service stands for, with type ExternalName.
        externalTrafficPolicy ServiceExternalTrafficPolicy 11 omitempty  # Cluster or Local: whether traffic from outside stays on its node.
        healthCheckNodePort int32 12 omitempty
        publishNotReadyAddresses bool 13 omitempty  # Whether pods that are not ready are found too.
        sessionAffinityConfig SessionAffinityConfig? 14 omitempty
        ipFamilies [IPFamily] 19 omitempty  # IPv4 and IPv6, in the order of preference.
        ipFamilyPolicy IPFamilyPolicy? 17 omitempty  # SingleStack, PreferDualStack or RequireDualStack.
        allocateLoadBalancerNodePorts bool? 20 omitempty
        loadBalancerClass string? 21 omitempty
        internalTrafficPolicy ServiceInternalTrafficPolicy? 22 omitempty  # Cluster or Local: whether traffic from inside stays on its node.
        trafficDistribution string? 23 omitempty

      struct ServicePort  # ServicePort is one port of a service.
        name string 1 omitempty  # Name of the port; needed when there are several.
        protocol Protocol 2 omitempty default="TCP"  # TCP, UDP or SCTP.
        appProtocol string? 6 omitempty  # Protocol above TCP, such as http.
        port int32 3 required  # Port of the service.
        targetPort IntOrString 4 omitempty  # Port of the pods, by number or name; the same as port unless told.
        nodePort int32 5 omitempty  # Port on every node, for NodePort and LoadBalancer.

      struct EndpointSubset
        addresses [EndpointAddress] 1 omitempty
        notReadyAddresses [EndpointAddress] 2 omitempty
        ports [EndpointPort] 3 omitempty

      struct EndpointAddress
        ip string 1 required nonempty
        hostname string 3 omitempty
        nodeName string? 4 omitempty
        targetRef ObjectReference? 2 omitempty

      struct EndpointPort
        name string 1 omitempty
        port int32 2 required
        protocol Protocol 3 omitempty
        appProtocol string? 4 omitempty

      struct NodeSpec  # NodeSpec describes a node.
        podCIDR string 1 omitempty  # Range of addresses for pods of the node.
        podCIDRs [string] 7 omitempty merge set
        providerID string 3 omitempty
        unschedulable bool 4 omitempty  # Whether no new pods are scheduled here.
        taints [Taint] 5 omitempty  # Taints of the node.
        configSource NodeConfigSource? 6 omitempty
        externalID string 2 omitempty
        podPreemptionPolicy NodePodPreemptionPolicy? 8 omitempty

      struct NodePodPreemptionPolicy
        disableResizePreemption [string] 1 omitempty set

      struct NodeConfigSource
        configMap ConfigMapNodeConfigSource? 2 omitempty

      struct ConfigMapNodeConfigSource
        namespace string 1 required nonempty  # Namespace of the object that is named.
        name string 2 required nonempty
        uid string 3 omitempty
        resourceVersion string 4 omitempty
        kubeletConfigKey string 5 required nonempty

      struct DaemonEndpoint
        Port int32 1 required

      struct NodeDaemonEndpoints
        kubeletEndpoint DaemonEndpoint 1 omitempty

      struct NodeRuntimeHandlerFeatures
        recursiveReadOnlyMounts bool? 1 omitempty
        userNamespaces bool? 2 omitempty

      struct NodeRuntimeHandler
        name string 1
        features NodeRuntimeHandlerFeatures? 2 omitempty

      struct NodeFeatures
        supplementalGroupsPolicy bool? 1 omitempty

      struct NodeSystemInfo
        machineID string 1 required
        systemUUID string 2 required
        bootID string 3 required
        kernelVersion string 4 required
        osImage string 5 required
        containerRuntimeVersion string 6 required
        kubeletVersion string 7 required
        kubeProxyVersion string 8 required
        operatingSystem string 9 required
        architecture string 10 required
        swap NodeSwapStatus? 11 omitempty

      struct NodeSwapStatus
        capacity int64? 1 omitempty

      struct NodeConfigStatus
        assigned NodeConfigSource? 1 omitempty
        active NodeConfigSource? 2 omitempty
        lastKnownGood NodeConfigSource? 3 omitempty
        error string 4 omitempty

      struct NodeStatus  # NodeStatus is the current state of a node.
        capacity {Quantity} 1 omitempty  # What the node has.
        allocatable {Quantity} 2 omitempty  # What pods may use.
        phase NodePhase 3 omitempty
        conditions [NodeCondition] 4 omitempty merge=type keys=type  # Aspects of the state, such as Ready.
        addresses [NodeAddress] 5 omitempty merge=type keys=type  # Addresses and names of the node.
        daemonEndpoints NodeDaemonEndpoints 6 omitempty
        nodeInfo NodeSystemInfo 7 omitempty  # Kernel, operating system and versions of the node.
        images [ContainerImage] 8 omitempty  # Images that are on the node.
        volumesInUse [string] 9 omitempty
        volumesAttached [AttachedVolume] 10 omitempty
        config NodeConfigStatus? 11 omitempty
        runtimeHandlers [NodeRuntimeHandler] 12 omitempty
        features NodeFeatures? 13 omitempty
        declaredFeatures [string] 14 omitempty

      struct AttachedVolume
        name string 1 required
        devicePath string 2 required

      struct AvoidPods
        preferAvoidPods [PreferAvoidPodsEntry] 1 omitempty

      struct PreferAvoidPodsEntry
        podSignature PodSignature 1 required
        evictionTime Time 2 omitempty
        reason string 3 omitempty
        message string 4 omitempty

      struct PodSignature
        podController meta.OwnerReference? 1 omitempty

      struct ContainerImage
        names [string] 1
        sizeBytes int64 2 omitempty

      struct NodeCondition
        type NodeConditionType 1 required  # Which aspect, in one word.
        status ConditionStatus 2 required  # True, False or Unknown.
        lastHeartbeatTime Time 3 omitempty  # When it was last reported.
        lastTransitionTime Time 4 omitempty  # When the status last changed.
        reason string 5 omitempty  # Why, in one word.
        message string 6 omitempty  # Why, for people.

      struct NodeAddress
        type NodeAddressType 1 required nonempty
        address string 2 required nonempty

      struct NamespaceSpec
        finalizers [FinalizerName] 1 omitempty  # Names that must be removed before a deleted namespace goes.

      struct NamespaceStatus
        phase NamespacePhase 1 omitempty  # Active or Terminating.
        conditions [NamespaceCondition] 2 omitempty merge=type keys=type  # Aspects of the current state.

      struct NamespaceCondition
        type NamespaceConditionType 1 required  # Which aspect, in one word.
        status ConditionStatus 2 required  # True, False or Unknown.
        lastTransitionTime Time 4 omitempty  # When the status last changed.
        reason string 5 omitempty  # Why, in one word.
        message string 6 omitempty  # Why, for people.

      struct Preconditions
        uid string? 1 omitempty

      struct ObjectReference  # ObjectReference names an object.
        kind string 1 omitempty
        namespace string 2 omitempty  # Namespace of the object that is named.
        name string 3 omitempty
        uid string 4 omitempty
        apiVersion string 5 omitempty
        resourceVersion string 6 omitempty
        fieldPath string 7 omitempty

      struct LocalObjectReference  # LocalObjectReference names an object in the same namespace.
        name string 1 omitempty

      struct TypedLocalObjectReference
        apiGroup string? 1  # API group of the kind that is named.
        kind string 2 required
        name string 3 required

      struct EventSource
        component string 1 omitempty
        host string 2 omitempty

      struct EventSeries
        count int32 1 omitempty
        lastObservedTime MicroTime 2 omitempty

      struct LimitRangeItem
        type LimitType 1 required nonempty
        max {Quantity} 2 omitempty
        min {Quantity} 3 omitempty
        default {Quantity} 4 omitempty
        defaultRequest {Quantity} 5 omitempty
        maxLimitRequestRatio {Quantity} 6 omitempty

      struct LimitRangeSpec
        limits [LimitRangeItem] 1 required

      struct ResourceQuotaSpec
        hard {Quantity} 1 omitempty
        scopes [ResourceQuotaScope] 2 omitempty
        scopeSelector ScopeSelector? 3 omitempty

      struct ScopeSelector
        matchExpressions [ScopedResourceSelectorRequirement] 1 omitempty

      struct ScopedResourceSelectorRequirement
        scopeName ResourceQuotaScope 1 required nonempty
        operator ScopeSelectorOperator 2 required nonempty
        values [string] 3 omitempty

      struct ResourceQuotaStatus
        hard {Quantity} 1 omitempty
        used {Quantity} 2 omitempty

      struct ComponentCondition
        type ComponentConditionType 1 required  # Which aspect, in one word.
        status ConditionStatus 2 required  # True, False or Unknown.
        message string 3 omitempty  # Why, for people.
        error string 4 omitempty

      struct DownwardAPIVolumeSource  # DownwardAPIVolumeSource shows fields of the pod as files.
        items [DownwardAPIVolumeFile] 1 omitempty  # Which keys become files, and their names; every key unless told.
        defaultMode int32? 2 omitempty  # Mode of the files; 0644 unless told.
        defaultUser int64? 3 omitempty

      struct DownwardAPIVolumeFile
        path string 1 required nonempty
        fieldRef ObjectFieldSelector? 2 omitempty
        resourceFieldRef ResourceFieldSelector? 3 omitempty
        mode int32? 4 omitempty
        user int64? 5 omitempty

      struct DownwardAPIProjection
        items [DownwardAPIVolumeFile] 1 omitempty  # Which keys become files, and their names; every key unless told.

      struct SecurityContext  # SecurityContext sets the privileges of one container.
        capabilities Capabilities? 1 omitempty
        privileged bool? 2 omitempty  # Whether the container has all rights on the node.
        seLinuxOptions SELinuxOptions? 3 omitempty
        windowsOptions WindowsSecurityContextOptions? 10 omitempty
        runAsUser int64? 4 omitempty  # User id of the first process.
        runAsGroup int64? 8 omitempty  # Group id of the first process.
        runAsNonRoot bool? 5 omitempty  # Whether the container is refused when it would run as root.
        readOnlyRootFilesystem bool? 6 omitempty  # Whether the root file system cannot be written.
        allowPrivilegeEscalation bool? 7 omitempty  # Whether a process may get more rights than its parent.
        procMount ProcMountType? 9 omitempty  # How /proc is mounted.
        seccompProfile SeccompProfile? 11 omitempty
        appArmorProfile AppArmorProfile? 12 omitempty

      struct SELinuxOptions
        user string 1 omitempty
        role string 2 omitempty
        type string 3 omitempty
        level string 4 omitempty

      struct WindowsSecurityContextOptions
        gmsaCredentialSpecName string? 1 omitempty
        gmsaCredentialSpec string? 2 omitempty
        runAsUserName string? 3 omitempty
        hostProcess bool? 4 omitempty

      struct Sysctl
        name string 1 required nonempty
        value string 2 required

      struct PortStatus
        port int32 1 required
        protocol Protocol 2 required
        error string? 3 omitempty

      struct ImageVolumeSource
        reference string 1 omitempty
        pullPolicy PullPolicy 2 omitempty

      struct NodeAllocatableResourceClaimStatus
        resourceClaimName string 1 required
        containers [string] 2 omitempty set
        mapping [NodeAllocatableMappedResources] 4 omitempty merge=name keys=name
        overhead [NodeAllocatableOverheadResources] 5 omitempty merge=name keys=name

      struct NodeAllocatableMappedResources
        name ResourceName 1 required nonempty
        quantity Quantity? 2 required

      struct NodeAllocatableOverheadResources
        name ResourceName 1 required nonempty
        perPod Quantity? 2 omitempty
        perContainer Quantity? 3 omitempty

      """#
    ),
    (
      "discovery.v1",
      #"""
      // discovery.k8s.io/v1

      schema discovery.k8s.io/v1 as discovery priority 16200 15

      kind EndpointSlice  # EndpointSlice lists a part of the addresses behind a service.
        @resource endpointslices endpointslice
        @column string/name Name
        @column string AddressType
        @column string Ports
        @column string Endpoints
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        addressType string 4 required nonempty  # IPv4, IPv6 or FQDN; it cannot be changed.
        endpoints [Endpoint] 2  # The endpoints; at most 1000.
        ports [EndpointPort] 3  # The ports of each endpoint.

      struct Endpoint  # Endpoint is one address, or several that are the same, behind a service.
        addresses [string] 1 required set  # Addresses that are the same endpoint.
        conditions EndpointConditions 2 omitempty  # Whether the endpoint is ready, serving and terminating.
        hostname string? 3 omitempty
        targetRef core.ObjectReference? 4 omitempty  # The object that the endpoint is, such as a pod.
        deprecatedTopology {string} 5 omitempty
        nodeName string? 6 omitempty  # Node of the endpoint.
        zone string? 7 omitempty
        hints EndpointHints? 8 omitempty

      struct EndpointConditions
        ready bool? 1 omitempty
        serving bool? 2 omitempty
        terminating bool? 3 omitempty

      struct EndpointHints
        forZones [ForZone] 1 omitempty
        forNodes [ForNode] 2 omitempty

      struct ForZone
        name string 1 required nonempty

      struct ForNode
        name string 1 required nonempty

      struct EndpointPort
        name string? 1 omitempty
        protocol core.Protocol? 2 omitempty
        port int32? 3 omitempty
        appProtocol string? 4 omitempty

      """#
    ),
    (
      "events.v1",
      #"""
      // events.k8s.io/v1

      schema events.k8s.io/v1 as events priority 17750 5

      kind Event  # Event reports something that happened to an object.
        @resource events event ev
        @column string Last Seen
        @column string Type
        @column string Reason
        @column string Object
        @column string!1 Subobject
        @column string!1 Source
        @column string Message
        @column string!1 First Seen
        @column string!1 Count
        @column string!1 Name
        metadata meta.ObjectMeta 1
        eventTime MicroTime 2 required
        series EventSeries? 3 omitempty
        reportingController string 4 omitempty
        reportingInstance string 5 omitempty
        action string 6 omitempty
        reason string 7 omitempty
        regarding core.ObjectReference 8 omitempty
        related core.ObjectReference? 9 omitempty
        note string 10 omitempty
        type string 11 omitempty
        deprecatedSource core.EventSource 12 omitempty
        deprecatedFirstTimestamp Time 13 omitempty
        deprecatedLastTimestamp Time 14 omitempty
        deprecatedCount int32 15 omitempty

      struct EventSeries
        count int32 1 required
        lastObservedTime MicroTime 2 required

      """#
    ),
    (
      "flowcontrol.v1",
      #"""
      // flowcontrol.apiserver.k8s.io/v1

      schema flowcontrol.apiserver.k8s.io/v1 as flowcontrol priority 16100 21

      enum ConditionStatus True False Unknown
      enum FlowDistinguisherMethodType ByUser ByNamespace
      enum LimitResponseType Queue Reject
      enum PriorityLevelEnablement Exempt Limited
      enum SubjectKind User Group ServiceAccount

      kind FlowSchema  # FlowSchema assigns requests to a priority level.
        @resource flowschemas flowschema
        @scope cluster
        @subresource status get,patch,update
        @column string/name Name
        @column string PriorityLevel
        @column string MatchingPrecedence
        @column string DistinguisherMethod
        @column string Age
        @column string MissingPL
        metadata meta.ObjectMeta 1 omitempty
        spec FlowSchemaSpec 2 omitempty required  # The wanted state.
        status FlowSchemaStatus 3 omitempty  # The last observed state.

      kind PriorityLevelConfiguration  # PriorityLevelConfiguration bounds how many requests of a priority level run at once.
        @resource prioritylevelconfigurations prioritylevelconfiguration
        @scope cluster
        @subresource status get,patch,update
        @column string/name Name
        @column string Type
        @column string NominalConcurrencyShares
        @column string Queues
        @column string HandSize
        @column string QueueLengthLimit
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec PriorityLevelConfigurationSpec 2 omitempty required  # The wanted state.
        status PriorityLevelConfigurationStatus 3 omitempty  # The last observed state.

      struct FlowSchemaSpec
        priorityLevelConfiguration PriorityLevelConfigurationReference 1 required
        matchingPrecedence int32 2
        distinguisherMethod FlowDistinguisherMethod? 3 omitempty
        rules [PolicyRulesWithSubjects] 4 omitempty

      struct FlowDistinguisherMethod
        type FlowDistinguisherMethodType 1 required nonempty

      struct PriorityLevelConfigurationReference
        name string 1 required

      struct PolicyRulesWithSubjects
        subjects [Subject] 1 required
        resourceRules [ResourcePolicyRule] 2 omitempty
        nonResourceRules [NonResourcePolicyRule] 3 omitempty

      struct Subject  # Subject is a user, a group or a service account.
        kind SubjectKind 1 required nonempty
        user UserSubject? 2 omitempty
        group GroupSubject? 3 omitempty
        serviceAccount ServiceAccountSubject? 4 omitempty

      struct UserSubject
        name string 1 required nonempty

      struct GroupSubject
        name string 1 required nonempty

      struct ServiceAccountSubject
        namespace string 1 required nonempty  # Namespace of the object that is named.
        name string 2 required nonempty

      struct ResourcePolicyRule
        verbs [string] 1 required set
        apiGroups [string] 2 required set
        resources [string] 3 required set
        clusterScope bool 4 omitempty
        namespaces [string] 5 set

      struct NonResourcePolicyRule
        verbs [string] 1 required set
        nonResourceURLs [string] 6 required set

      struct FlowSchemaStatus
        conditions [FlowSchemaCondition] 1 omitempty merge=type keys=type  # Aspects of the current state.

      struct FlowSchemaCondition
        type string 1 omitempty required  # Which aspect, in one word.
        status ConditionStatus 2 omitempty  # True, False or Unknown.
        lastTransitionTime Time 3 omitempty  # When the status last changed.
        reason string 4 omitempty  # Why, in one word.
        message string 5 omitempty  # Why, for people.

      struct PriorityLevelConfigurationSpec
        type PriorityLevelEnablement 1 required nonempty
        limited LimitedPriorityLevelConfiguration? 2 omitempty
        exempt ExemptPriorityLevelConfiguration? 3 omitempty

      struct LimitedPriorityLevelConfiguration
        nominalConcurrencyShares int32? 1
        limitResponse LimitResponse 2 omitempty required
        lendablePercent int32? 3 omitempty
        borrowingLimitPercent int32? 4 omitempty

      struct ExemptPriorityLevelConfiguration
        nominalConcurrencyShares int32? 1 omitempty
        lendablePercent int32? 2 omitempty

      struct LimitResponse
        type LimitResponseType 1 required nonempty
        queuing QueuingConfiguration? 2 omitempty

      struct QueuingConfiguration
        queues int32 1
        handSize int32 2
        queueLengthLimit int32 3

      struct PriorityLevelConfigurationStatus
        conditions [PriorityLevelConfigurationCondition] 1 omitempty merge=type keys=type  # Aspects of the current state.

      struct PriorityLevelConfigurationCondition
        type string 1 omitempty required  # Which aspect, in one word.
        status ConditionStatus 2 omitempty  # True, False or Unknown.
        lastTransitionTime Time 3 omitempty  # When the status last changed.
        reason string 4 omitempty  # Why, in one word.
        message string 5 omitempty  # Why, for people.

      """#
    ),
    (
      "meta.v1",
      #"""
      // meta.k8s.io/v1

      schema meta.k8s.io/v1 as meta

      enum CauseType FieldValueNotFound FieldValueRequired FieldValueDuplicate FieldValueInvalid FieldValueNotSupported FieldValueForbidden FieldValueTooLong FieldValueTooMany InternalError FieldValueTypeInvalid UnexpectedServerResponse FieldManagerConflict ResourceVersionTooLarge open
      enum ConditionStatus True False Unknown
      enum DeletionPropagation Orphan Background Foreground
      enum FieldSelectorOperator In NotIn Exists DoesNotExist
      enum IncludeObjectPolicy None Metadata Object
      enum LabelSelectorOperator In NotIn Exists DoesNotExist
      enum ManagedFieldsOperationType Apply Update open
      enum ResourceVersionMatch NotOlderThan Exact open
      enum RowConditionType Completed open
      enum StatusReason "" Unauthorized Forbidden NotFound AlreadyExists Conflict Gone Invalid ServerTimeout StorageReadError Timeout TooManyRequests BadRequest MethodNotAllowed NotAcceptable RequestEntityTooLarge UnsupportedMediaType InternalError Expired ServiceUnavailable open

      kind ListOptions  # ListOptions are the parameters of lists and watches.
        labelSelector string 1 omitempty
        fieldSelector string 2 omitempty
        watch bool 3 omitempty
        allowWatchBookmarks bool 9 omitempty
        resourceVersion string 4 omitempty
        resourceVersionMatch ResourceVersionMatch 10 omitempty
        timeoutSeconds int64? 5 omitempty
        limit int64 7 omitempty
        continue string 8 omitempty
        sendInitialEvents bool? 11 omitempty
        shardSelector string 15 omitempty

      kind GetOptions  # GetOptions are the parameters of a read.
        resourceVersion string 1 omitempty

      kind DeleteOptions  # DeleteOptions are the parameters of a deletion.
        gracePeriodSeconds int64? 1 omitempty
        preconditions Preconditions? 2 omitempty
        orphanDependents bool? 3 omitempty
        propagationPolicy DeletionPropagation? 4 omitempty
        dryRun [string] 5 omitempty
        ignoreStoreReadErrorWithClusterBreakingPotential bool? 6 omitempty

      kind CreateOptions  # CreateOptions are the parameters of a creation.
        dryRun [string] 1 omitempty
        fieldManager string 3 omitempty
        fieldValidation string 4 omitempty

      kind PatchOptions  # PatchOptions are the parameters of a patch.
        dryRun [string] 1 omitempty
        force bool? 2 omitempty
        fieldManager string 3 omitempty
        fieldValidation string 4 omitempty

      kind ApplyOptions  # ApplyOptions are the parameters of a server-side apply.
        dryRun [string] 1 omitempty
        force bool 2 required
        fieldManager string 3 required

      kind UpdateOptions  # UpdateOptions are the parameters of an update.
        dryRun [string] 1 omitempty
        fieldManager string 2 omitempty
        fieldValidation string 3 omitempty

      kind Status  # Status is the answer to a request that returns no other object.
        metadata ListMeta 1 omitempty  # Names, labels, annotations and owners of the object.
        status string 2 omitempty
        message string 3 omitempty
        reason StatusReason 4 omitempty
        details StatusDetails? 5 omitempty
        code int32 6 omitempty

      kind APIVersions  # APIVersions lists the versions of the core group.
        versions [string] 1 required
        serverAddressByClientCIDRs [ServerAddressByClientCIDR] 2 required

      kind APIGroupList  # APIGroupList lists the API groups.
        groups [APIGroup] 1 required

      kind APIGroup  # APIGroup names an API group and its versions.
        name string 1 required
        versions [GroupVersionForDiscovery] 2 required
        preferredVersion GroupVersionForDiscovery 3 omitempty
        serverAddressByClientCIDRs [ServerAddressByClientCIDR] 4 omitempty

      kind APIResourceList  # APIResourceList lists the resources of a group and version.
        groupVersion string 1 required
        resources [APIResource] 2 required

      kind Table  # Table shows objects as rows.
        metadata ListMeta - omitempty  # Names, labels, annotations and owners of the object.
        columnDefinitions [TableColumnDefinition] - required
        rows [TableRow] - required

      kind TableOptions  # TableOptions are the parameters of a table.
        includeObject IncludeObjectPolicy 1 omitempty

      kind PartialObjectMetadata  # PartialObjectMetadata is the metadata of any object.
        metadata ObjectMeta 1 omitempty

      struct TypeMeta
        kind string 1 omitempty
        apiVersion string 2 omitempty

      struct ListMeta
        selfLink string 1 omitempty
        resourceVersion string 2 omitempty
        continue string 3 omitempty
        remainingItemCount int64? 4 omitempty
        shardInfo ShardInfo? 5 omitempty

      struct ShardInfo
        selector string 1 required

      struct ObjectMeta  # ObjectMeta is what every stored object has: names, labels, annotations, owners and times.
        name string 1 omitempty  # Name, unique within the namespace; it cannot be changed.
        generateName string 2 omitempty  # Beginning of a name that the server completes when `name` is empty.
        namespace string 3 omitempty  # Namespace of the object; empty for cluster-scoped kinds.
        selfLink string 4 omitempty  # Not used any more.
        uid string 5 omitempty  # Identity of this object, given by the server; a new object of the same name has another one.
        resourceVersion string 6 omitempty  # Version of the stored object; an update with another one is refused.
        generation int64 7 omitempty  # Number that rises when the wanted state changes.
        creationTimestamp Time 8 omitempty  # When the server created the object.
        deletionTimestamp Time? 9 omitempty  # When the object is to be gone; set by the server when a deletion was asked for.
        deletionGracePeriodSeconds int64? 10 omitempty  # Seconds the object has to end by itself.
        labels {string} 11 omitempty  # Keys and values by which objects are selected.
        annotations {string} 12 omitempty  # Keys and values for tools; they cannot be selected by.
        ownerReferences [OwnerReference] 13 omitempty merge=uid keys=uid
        finalizers [string] 14 omitempty merge set  # Names that must be removed before a deleted object goes.
        managedFields [ManagedFieldsEntry] 17 omitempty  # Which manager set which field.

      struct OwnerReference  # OwnerReference names an object without which this one is deleted.
        apiVersion string 5 required
        kind string 1 required
        name string 3 required
        uid string 4 required
        controller bool? 6 omitempty  # Whether this owner manages the object.
        blockOwnerDeletion bool? 7 omitempty  # Whether a foreground deletion of the owner waits for this object.

      struct Preconditions
        uid string? 1 omitempty
        resourceVersion string? 2 omitempty

      struct StatusDetails
        name string 1 omitempty
        group string 2 omitempty
        kind string 3 omitempty
        uid string 6 omitempty
        causes [StatusCause] 4 omitempty
        retryAfterSeconds int32 5 omitempty

      struct StatusCause
        reason CauseType 1 omitempty
        message string 2 omitempty
        field string 3 omitempty

      struct ServerAddressByClientCIDR
        clientCIDR string 1 required
        serverAddress string 2 required

      struct GroupVersionForDiscovery
        groupVersion string 1 required
        version string 2 required

      struct APIResource
        name string 1 required
        singularName string 6 required
        namespaced bool 2 required
        group string 8 omitempty
        version string 9 omitempty
        kind string 3 required
        verbs [string] 4 required
        shortNames [string] 5 omitempty
        categories [string] 7 omitempty
        storageVersionHash string 10 omitempty

      struct RootPaths
        paths [string] 1 required

      struct LabelSelector  # LabelSelector chooses objects by their labels; all its parts must match, and an empty one matches everything.
        matchLabels {string} 1 omitempty  # Labels that must have these values.
        matchExpressions [LabelSelectorRequirement] 2 omitempty  # Comparisons that must all hold.

      struct LabelSelectorRequirement  # LabelSelectorRequirement compares one label with values.
        key string 1 required nonempty  # The label that is compared.
        operator LabelSelectorOperator 2 required nonempty  # In, NotIn, Exists or DoesNotExist.
        values [string] 3 omitempty  # What the label is compared with; empty for Exists and DoesNotExist.

      struct FieldSelectorRequirement
        key string 1 required nonempty
        operator FieldSelectorOperator 2 required nonempty
        values [string] 3 omitempty

      struct ManagedFieldsEntry
        manager string 1 omitempty
        operation ManagedFieldsOperationType 2 omitempty
        apiVersion string 3 omitempty
        time Time? 4 omitempty
        fieldsType string 6 omitempty
        fieldsV1 object? 7 omitempty
        subresource string 8 omitempty

      struct TableColumnDefinition
        name string - required
        type string - required
        format string - required
        description string - required
        priority int32 - required

      struct TableRow
        cells [any] - required
        conditions [TableRowCondition] - omitempty  # Aspects of the current state.
        object object - omitempty

      struct TableRowCondition
        type RowConditionType - required  # Which aspect, in one word.
        status ConditionStatus - required  # True, False or Unknown.
        reason string - omitempty  # Why, in one word.
        message string - omitempty  # Why, for people.

      struct Condition  # Condition is one aspect of the current state.
        type string 1 required  # Which aspect, in one word.
        status ConditionStatus 2 required  # True, False or Unknown.
        observedGeneration int64 3 omitempty  # Generation to which the condition belongs.
        lastTransitionTime Time 4 required  # When the status last changed.
        reason string 5 required  # Why, in one word.
        message string 6 required  # Why, for people.

      struct GroupVersionKind
        group string 1 required
        version string 2 required
        kind string 3 required

      struct GroupVersionResource
        group string 1 required
        version string 2 required
        resource string 3 required

      struct GroupResource
        group string 1 required
        resource string 2 required nonempty

      """#
    ),
    (
      "networking.v1",
      #"""
      // networking.k8s.io/v1

      schema networking.k8s.io/v1 as networking priority 17200 15

      enum PolicyType Ingress Egress

      kind NetworkPolicy  # NetworkPolicy says which traffic pods may receive and send.
        @resource networkpolicies networkpolicy netpol
        @column string/name Name
        @column string Pod-Selector
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec NetworkPolicySpec 2 omitempty  # The wanted state.

      kind Ingress  # Ingress routes HTTP requests from outside to services.
        @resource ingresses ingress ing
        @subresource status get,patch,update
        @column string/name Name
        @column string Class
        @column string Hosts
        @column string Address
        @column string Ports
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec IngressSpec 2 omitempty  # The wanted routes.
        status IngressStatus 3 omitempty  # The last observed state.

      kind IngressClass  # IngressClass names the controller that serves ingresses of a class.
        @resource ingressclasses ingressclass
        @scope cluster
        @column string/name Name
        @column string Controller
        @column string Parameters
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec IngressClassSpec 2 omitempty  # The wanted state.

      kind IPAddress  # IPAddress is an address that is taken from the service range.
        @resource ipaddresses ipaddress ip
        @scope cluster
        @column string/name Name
        @column string ParentRef
        metadata meta.ObjectMeta 1 omitempty
        spec IPAddressSpec 2 omitempty required  # The wanted state.

      kind ServiceCIDR  # ServiceCIDR is a range from which services get their addresses.
        @resource servicecidrs servicecidr
        @scope cluster
        @subresource status get,patch,update
        @column string/name Name
        @column string CIDRs
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec ServiceCIDRSpec 2 omitempty  # The wanted state.
        status ServiceCIDRStatus 3 omitempty  # The last observed state.

      struct NetworkPolicySpec
        podSelector meta.LabelSelector 1  # Pods to which the policy applies; an empty selector chooses all.
        ingress [NetworkPolicyIngressRule] 2 omitempty  # Traffic that the pods may receive.
        egress [NetworkPolicyEgressRule] 3 omitempty  # Traffic that the pods may send.
        policyTypes [PolicyType] 4 omitempty  # Ingress, Egress or both.

      struct NetworkPolicyIngressRule
        ports [NetworkPolicyPort] 1 omitempty
        from [NetworkPolicyPeer] 2 omitempty

      struct NetworkPolicyEgressRule
        ports [NetworkPolicyPort] 1 omitempty
        to [NetworkPolicyPeer] 2 omitempty

      struct NetworkPolicyPort
        protocol core.Protocol? 1 omitempty
        port IntOrString? 2 omitempty
        endPort int32? 3 omitempty

      struct IPBlock
        cidr string 1 required nonempty
        except [string] 2 omitempty

      struct NetworkPolicyPeer
        podSelector meta.LabelSelector? 1 omitempty
        namespaceSelector meta.LabelSelector? 2 omitempty
        ipBlock IPBlock? 3 omitempty

      struct IngressSpec
        ingressClassName string? 4 omitempty  # Class of the ingress, which decides who serves it.
        defaultBackend IngressBackend? 1 omitempty
        tls [IngressTLS] 2 omitempty  # Certificates for hosts.
        rules [IngressRule] 3 omitempty  # Routes by host and path.

      struct IngressTLS
        hosts [string] 1 omitempty
        secretName string 2 omitempty

      struct IngressStatus
        loadBalancer IngressLoadBalancerStatus 1 omitempty

      struct IngressLoadBalancerStatus
        ingress [IngressLoadBalancerIngress] 1 omitempty

      struct IngressLoadBalancerIngress
        ip string 1 omitempty
        hostname string 2 omitempty
        ports [IngressPortStatus] 4 omitempty

      struct IngressPortStatus
        port int32 1 required
        protocol core.Protocol 2 required
        error string? 3 omitempty

      struct IngressRule
        host string 1 omitempty
        ...IngressRuleValue 2

      struct IngressRuleValue
        http HTTPIngressRuleValue? 1 omitempty

      struct HTTPIngressRuleValue
        paths [HTTPIngressPath] 1 required

      struct HTTPIngressPath
        path string 1 omitempty
        pathType string? 3 required nonempty
        backend IngressBackend 2 required

      struct IngressBackend  # IngressBackend is where requests are sent.
        service IngressServiceBackend? 4 omitempty
        resource core.TypedLocalObjectReference? 3 omitempty

      struct IngressServiceBackend
        name string 1 required nonempty
        port ServiceBackendPort 2 omitempty

      struct ServiceBackendPort
        name string 1 omitempty
        number int32 2 omitempty

      struct IngressClassSpec
        controller string 1 omitempty
        parameters IngressClassParametersReference? 2 omitempty

      struct IngressClassParametersReference
        apiGroup string? 1 omitempty  # API group of the kind that is named.
        kind string 2 required
        name string 3 required
        scope string? 4
        namespace string? 5 omitempty  # Namespace of the object that is named.

      struct IPAddressSpec
        parentRef ParentReference? 1 omitempty required

      struct ParentReference
        group string 1 omitempty
        resource string 2 omitempty required
        namespace string 3 omitempty  # Namespace of the object that is named.
        name string 4 omitempty required

      struct ServiceCIDRSpec
        cidrs [string] 1 omitempty

      struct ServiceCIDRStatus
        conditions [meta.Condition] 1 omitempty merge=type keys=type

      """#
    ),
    (
      "node.v1",
      #"""
      // node.k8s.io/v1

      schema node.k8s.io/v1 as node priority 16300 15

      kind RuntimeClass  # RuntimeClass names a container runtime that pods may choose.
        @resource runtimeclasses runtimeclass
        @scope cluster
        @column string/name Name
        @column string Handler
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        handler string 2 required nonempty
        overhead Overhead? 3 omitempty
        scheduling Scheduling? 4 omitempty

      struct Overhead
        podFixed {Quantity} 1 omitempty

      struct Scheduling
        nodeSelector {string} 1 omitempty atomic
        tolerations [core.Toleration] 2 omitempty

      """#
    ),
    (
      "policy.v1",
      #"""
      // policy/v1

      schema policy/v1 as policy priority 17100 15

      enum UnhealthyPodEvictionPolicyType IfHealthyBudget AlwaysAllow

      kind PodDisruptionBudget  # PodDisruptionBudget limits how many pods of a set may be evicted at once.
        @resource poddisruptionbudgets poddisruptionbudget pdb
        @subresource status get,patch,update
        @column string/name Name
        @column string Min Available
        @column string Max Unavailable
        @column integer Allowed Disruptions
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec PodDisruptionBudgetSpec 2 omitempty  # The wanted bounds.
        status PodDisruptionBudgetStatus 3 omitempty  # The last observed state.

      kind Eviction  # Eviction asks to remove a pod, within its disruption budgets.
        metadata meta.ObjectMeta 1 omitempty
        deleteOptions meta.DeleteOptions? 2 omitempty

      struct PodDisruptionBudgetSpec
        minAvailable IntOrString? 1 omitempty  # How many pods must stay, as a number or percentage.
        selector meta.LabelSelector? 2 omitempty replace  # Pods that the budget protects.
        maxUnavailable IntOrString? 3 omitempty  # How many pods may be missing, as a number or percentage.
        unhealthyPodEvictionPolicy UnhealthyPodEvictionPolicyType? 4 omitempty

      struct PodDisruptionBudgetStatus
        observedGeneration int64 1 omitempty  # Generation that the controller has seen.
        disruptedPods {Time} 2 omitempty
        disruptionsAllowed int32 3
        currentHealthy int32 4
        desiredHealthy int32 5
        expectedPods int32 6
        conditions [meta.Condition] 7 omitempty merge=type keys=type

      """#
    ),
    (
      "rbac.v1",
      #"""
      // rbac.authorization.k8s.io/v1

      schema rbac.authorization.k8s.io/v1 as rbac priority 17000 15

      kind Role  # Role is a set of permissions in one namespace.
        @resource roles role
        @column string/name Name
        @column date Created At
        metadata meta.ObjectMeta 1 omitempty
        rules [PolicyRule] 2  # What is allowed.

      kind RoleBinding  # RoleBinding grants a role to users, groups and service accounts in one namespace.
        @resource rolebindings rolebinding
        @column string/name Name
        @column string Role
        @column string Age
        @column string!1 Users
        @column string!1 Groups
        @column string!1 ServiceAccounts
        metadata meta.ObjectMeta 1 omitempty
        subjects [Subject] 2 omitempty  # To whom the role is granted.
        roleRef RoleRef 3 required  # The role; it cannot be changed.

      kind ClusterRole  # ClusterRole is a set of permissions in all namespaces and on cluster-scoped objects.
        @resource clusterroles clusterrole
        @scope cluster
        @column string/name Name
        @column date Created At
        metadata meta.ObjectMeta 1 omitempty
        rules [PolicyRule] 2  # What is allowed.
        aggregationRule AggregationRule? 3 omitempty  # Roles whose rules are collected here.

      kind ClusterRoleBinding  # ClusterRoleBinding grants a cluster role to users, groups and service accounts everywhere.
        @resource clusterrolebindings clusterrolebinding
        @scope cluster
        @column string/name Name
        @column string Role
        @column string Age
        @column string!1 Users
        @column string!1 Groups
        @column string!1 ServiceAccounts
        metadata meta.ObjectMeta 1 omitempty
        subjects [Subject] 2 omitempty  # To whom the role is granted.
        roleRef RoleRef 3 required  # The role; it cannot be changed.

      struct PolicyRule  # PolicyRule allows verbs on resources or URLs.
        verbs [string] 1 required  # What may be done; * is everything.
        apiGroups [string] 2 omitempty  # API groups of the resources; empty text is the core group.
        resources [string] 3 omitempty  # Resources; * is every one.
        resourceNames [string] 4 omitempty  # Names of objects; every one unless told.
        nonResourceURLs [string] 5 omitempty  # Paths that are no resources.

      struct Subject  # Subject is a user, a group or a service account.
        kind string 1 required nonempty
        apiGroup string 2 omitempty  # API group of the kind that is named.
        name string 3 required nonempty
        namespace string 4 omitempty  # Namespace of the object that is named.

      struct RoleRef  # RoleRef names the role that is granted.
        apiGroup string 1  # API group of the kind that is named.
        kind string 2 required nonempty
        name string 3 required nonempty

      struct AggregationRule
        clusterRoleSelectors [meta.LabelSelector] 1 omitempty

      """#
    ),
    (
      "resource.v1",
      #"""
      // resource.k8s.io/v1

      schema resource.k8s.io/v1 as resource priority 15700 15

      enum AllocationConfigSource FromClass FromClaim open
      enum DeviceTaintEffect None NoSchedule NoExecute
      enum DeviceTolerationOperator Exists Equal
      enum SkipNodeOperation NodePrepareResources NodeUnprepareResources *

      kind ResourceSlice  # ResourceSlice lists devices that a driver offers.
        @resource resourceslices resourceslice
        @scope cluster
        @column string/name Name
        @column string Node
        @column string Driver
        @column string Pool
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec ResourceSliceSpec 2 required  # The wanted state.

      kind DeviceTaintRule  # DeviceTaintRule adds a taint to devices.
        @resource devicetaintrules devicetaintrule
        @scope cluster
        @subresource status get,patch,update
        @column string/name Name
        @column string Key
        @column string Value
        @column string Effect
        @column string TimeAdded
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec DeviceTaintRuleSpec 2 required  # The wanted state.
        status DeviceTaintRuleStatus 3 omitempty  # The last observed state.

      kind ResourceClaim  # ResourceClaim asks for devices and records which ones it got.
        @resource resourceclaims resourceclaim
        @subresource status get,patch,update
        @column string/name Name
        @column string State
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec ResourceClaimSpec 2  # The wanted state.
        status ResourceClaimStatus 3 omitempty  # The last observed state.

      kind DeviceClass  # DeviceClass describes devices that claims may ask for.
        @resource deviceclasses deviceclass
        @scope cluster
        @column string/name Name
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec DeviceClassSpec 2  # The wanted state.

      kind ResourceClaimTemplate  # ResourceClaimTemplate is a template from which claims of pods are made.
        @resource resourceclaimtemplates resourceclaimtemplate
        @column string/name Name
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec ResourceClaimTemplateSpec 2  # The wanted state.

      struct ResourceSliceSpec
        driver string 1 required nonempty
        pool ResourcePool 2 required
        nodeName string? 3 omitempty
        nodeSelector core.NodeSelector? 4 omitempty
        allNodes bool? 5 omitempty
        devices [Device] 6 omitempty
        perDeviceNodeSelection bool? 7 omitempty
        sharedCounters [CounterSet] 8 omitempty
        partitionTypeAttribute string? 9 omitempty
        skipNodeOperations [SkipNodeOperation] 10 omitempty set

      struct CounterSet
        name string 1 required nonempty
        counters {Counter} 2 omitempty required

      struct ResourcePool
        name string 1 required nonempty
        generation int64 2 required
        resourceSliceCount int64 3 required

      struct Device
        name string 1 required nonempty
        attributes {DeviceAttribute} 2 omitempty
        capacity {DeviceCapacity} 3 omitempty
        consumesCounters [DeviceCounterConsumption] 4 omitempty
        nodeName string? 5 omitempty
        nodeSelector core.NodeSelector? 6 omitempty
        allNodes bool? 7 omitempty
        taints [DeviceTaint] 8 omitempty
        bindsToNode bool? 9 omitempty
        bindingConditions [string] 10 omitempty
        bindingFailureConditions [string] 11 omitempty
        allowMultipleAllocations bool? 12 omitempty
        nodeAllocatableResources {NodeAllocatableResource} 14 omitempty

      struct NodeAllocatableResource
        mapping NodeAllocatableMapping? 3 omitempty
        overhead NodeAllocatableOverhead? 4 omitempty

      struct NodeAllocatableMapping
        capacityKey string? 1 omitempty
        capacityMultiplier Quantity? 2 omitempty
        deviceMultiplier Quantity? 3 omitempty

      struct NodeAllocatableOverhead
        perPod Quantity? 1 omitempty
        perContainer Quantity? 2 omitempty

      struct DeviceCounterConsumption
        counterSet string 1 required nonempty
        counters {Counter} 2 omitempty required

      struct DeviceCapacity
        value Quantity 1 required
        requestPolicy CapacityRequestPolicy? 2 omitempty

      struct Counter
        value Quantity 1 required

      struct CapacityRequestPolicy
        default Quantity? 1
        validValues [Quantity] 3 omitempty
        validRange CapacityRequestPolicyRange? 4 omitempty

      struct CapacityRequestPolicyRange
        min Quantity? 1 omitempty required
        max Quantity? 2 omitempty
        step Quantity? 3 omitempty

      struct DeviceAttribute
        int int64? 2 omitempty
        bool bool? 3 omitempty
        string string? 4 omitempty
        version string? 5 omitempty
        ints [int64] 6 omitempty
        bools [bool] 7 omitempty
        strings [string] 8 omitempty
        versions [string] 9 omitempty

      struct DeviceTaint
        key string 1 required nonempty
        value string 2 omitempty
        effect DeviceTaintEffect 3 required nonempty
        timeAdded Time? 4 omitempty

      struct DeviceTaintRuleSpec
        deviceSelector DeviceTaintSelector? 1 omitempty
        taint DeviceTaint 2 omitempty required

      struct DeviceTaintSelector
        driver string? 2 omitempty
        pool string? 3 omitempty
        device string? 4 omitempty

      struct DeviceTaintRuleStatus
        conditions [meta.Condition] 1 omitempty merge=type keys=type

      struct ResourceClaimSpec
        devices DeviceClaim 1

      struct DeviceClaim
        requests [DeviceRequest] 1
        constraints [DeviceConstraint] 2 omitempty
        config [DeviceClaimConfiguration] 3 omitempty

      struct DeviceRequest
        name string 1 required
        exactly ExactDeviceRequest? 2 omitempty
        firstAvailable [DeviceSubRequest] 3 omitempty

      struct ExactDeviceRequest
        deviceClassName string 1 required
        selectors [DeviceSelector] 2 omitempty
        allocationMode string 3 omitempty
        count int64 4 omitempty
        adminAccess bool? 5 omitempty
        tolerations [DeviceToleration] 6 omitempty
        capacity CapacityRequirements? 7 omitempty

      struct DeviceSubRequest
        name string 1 required
        deviceClassName string 2 required
        selectors [DeviceSelector] 3 omitempty
        allocationMode string 4 omitempty
        count int64 5 omitempty
        tolerations [DeviceToleration] 6 omitempty
        capacity CapacityRequirements? 7 omitempty

      struct CapacityRequirements
        requests {Quantity} 1 omitempty

      struct DeviceSelector
        cel CELDeviceSelector? 1 omitempty

      struct CELDeviceSelector
        expression string 1 required

      struct DeviceConstraint
        requests [string] 1 omitempty
        matchAttribute string? 2 omitempty
        distinctAttribute string? 3 omitempty

      struct DeviceClaimConfiguration
        requests [string] 1 omitempty
        ...DeviceConfiguration 2

      struct DeviceConfiguration
        opaque OpaqueDeviceConfiguration? 1 omitempty

      struct OpaqueDeviceConfiguration
        driver string 1 required nonempty
        parameters object 2 required

      struct DeviceToleration
        key string 1 omitempty
        operator DeviceTolerationOperator 2 omitempty default="Equal"
        value string 3 omitempty
        effect DeviceTaintEffect 4 omitempty
        tolerationSeconds int64? 5 omitempty

      struct ResourceClaimStatus
        allocation AllocationResult? 1 omitempty
        reservedFor [ResourceClaimConsumerReference] 2 omitempty merge=uid keys=uid
        devices [AllocatedDeviceStatus] 4 omitempty keys=driver,device,pool,shareID

      struct ResourceClaimConsumerReference
        apiGroup string 1 omitempty  # API group of the kind that is named.
        resource string 3 required
        name string 4 required
        uid string 5 required

      struct AllocationResult
        devices DeviceAllocationResult 1 omitempty
        nodeSelector core.NodeSelector? 3 omitempty
        allocationTimestamp Time? 5 omitempty

      struct DeviceAllocationResult
        results [DeviceRequestAllocationResult] 1 omitempty
        config [DeviceAllocationConfiguration] 2 omitempty

      struct DeviceRequestAllocationResult
        request string 1 required
        driver string 2 required
        pool string 3 required
        device string 4 required
        adminAccess bool? 5 omitempty
        tolerations [DeviceToleration] 6 omitempty
        bindingConditions [string] 7 omitempty
        bindingFailureConditions [string] 8 omitempty
        shareID string? 9 omitempty
        consumedCapacity {Quantity} 10 omitempty
        skipNodeOperations [SkipNodeOperation] 11 omitempty set

      struct DeviceAllocationConfiguration
        source AllocationConfigSource 1 required nonempty
        requests [string] 2 omitempty
        ...DeviceConfiguration 3

      struct DeviceClassSpec
        selectors [DeviceSelector] 1 omitempty
        config [DeviceClassConfiguration] 2 omitempty
        extendedResourceName string? 4 omitempty

      struct DeviceClassConfiguration
        ...DeviceConfiguration 1

      struct ResourceClaimTemplateSpec
        metadata meta.ObjectMeta 1 omitempty
        spec ResourceClaimSpec 2  # The wanted state.

      struct AllocatedDeviceStatus
        driver string 1 required
        pool string 2 required
        device string 3 required
        shareID string? 7 omitempty
        conditions [meta.Condition] 4 keys=type
        data object? 5 omitempty
        networkData NetworkDeviceData? 6 omitempty

      struct NetworkDeviceData
        interfaceName string 1 omitempty
        ips [string] 2 omitempty
        hardwareAddress string 3 omitempty

      """#
    ),
    (
      "scheduling.v1",
      #"""
      // scheduling.k8s.io/v1

      schema scheduling.k8s.io/v1 as scheduling priority 16600 15

      kind PriorityClass  # PriorityClass gives a priority to pods that name it.
        @resource priorityclasses priorityclass pc
        @scope cluster
        @column string/name Name
        @column integer Value
        @column boolean Global-Default
        @column string Age
        @column string PreemptionPolicy
        metadata meta.ObjectMeta 1 omitempty
        value int32 2  # Priority of the pods; the higher, the earlier.
        globalDefault bool 3 omitempty  # Whether pods without a class get this one.
        description string 4 omitempty
        preemptionPolicy core.PreemptionPolicy? 5 omitempty

      """#
    ),
    (
      "storage.v1",
      #"""
      // storage.k8s.io/v1

      schema storage.k8s.io/v1 as storage priority 16800 15

      enum FSGroupPolicy ReadWriteOnceWithFSType File None
      enum StorageHealthStatusType StorageUnreachable StorageDegraded
      enum VolumeBindingMode Immediate WaitForFirstConsumer
      enum VolumeLifecycleMode Persistent Ephemeral

      kind StorageClass  # StorageClass describes a way to make volumes.
        @resource storageclasses storageclass sc
        @scope cluster
        @column string/name Name
        @column string Provisioner
        @column string ReclaimPolicy
        @column string VolumeBindingMode
        @column string AllowVolumeExpansion
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        provisioner string 2 required nonempty  # Driver that makes the volumes.
        parameters {string} 3 omitempty  # Parameters of the driver.
        reclaimPolicy core.PersistentVolumeReclaimPolicy? 4 omitempty  # Delete or Retain: what happens to a volume when its claim goes.
        mountOptions [string] 5 omitempty
        allowVolumeExpansion bool? 6 omitempty
        volumeBindingMode VolumeBindingMode? 7 omitempty  # Immediate, or WaitForFirstConsumer to choose the volume with the pod's node.
        allowedTopologies [core.TopologySelectorTerm] 8 omitempty

      kind VolumeAttachment  # VolumeAttachment asks to attach a volume to a node.
        @resource volumeattachments volumeattachment
        @scope cluster
        @subresource status get,patch,update
        @column string/name Name
        @column string/name Attacher
        @column string PV
        @column string Node
        @column boolean Attached
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec VolumeAttachmentSpec 2 required  # The wanted state.
        status VolumeAttachmentStatus 3 omitempty  # The last observed state.

      kind CSIDriver  # CSIDriver describes a storage driver.
        @resource csidrivers csidriver
        @scope cluster
        @column string/name Name
        @column boolean AttachRequired
        @column boolean PodInfoOnMount
        @column boolean StorageCapacity
        metadata meta.ObjectMeta 1 omitempty
        spec CSIDriverSpec 2 required  # The wanted state.

      kind CSINode  # CSINode lists the storage drivers of a node.
        @resource csinodes csinode
        @scope cluster
        @subresource status get,patch,update
        @column string/name Name
        @column integer Drivers
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        spec CSINodeSpec 2 required  # The wanted state.
        status CSINodeStatus 3 omitempty  # The last observed state.

      kind CSIStorageCapacity  # CSIStorageCapacity says how much storage a driver has left for a class.
        @resource csistoragecapacities csistoragecapacity
        @column string/name Name
        @column string StorageClassName
        @column string Capacity
        metadata meta.ObjectMeta 1 omitempty
        nodeTopology meta.LabelSelector? 2 omitempty
        storageClassName string 3 required nonempty
        capacity Quantity? 4 omitempty
        maximumVolumeSize Quantity? 5 omitempty

      kind VolumeAttributesClass  # VolumeAttributesClass describes attributes of volumes that may change while they exist.
        @resource volumeattributesclasses volumeattributesclass vac
        @scope cluster
        @column string/name Name
        @column string DriverName
        @column string Age
        metadata meta.ObjectMeta 1 omitempty
        driverName string 2 required nonempty
        parameters {string} 3 omitempty

      struct VolumeAttachmentSpec
        attacher string 1 required nonempty
        source VolumeAttachmentSource 2 required
        nodeName string 3 required nonempty

      struct VolumeAttachmentSource
        persistentVolumeName string? 1 omitempty
        inlineVolumeSpec core.PersistentVolumeSpec? 2 omitempty

      struct VolumeAttachmentStatus
        attached bool 1 required
        attachmentMetadata {string} 2 omitempty
        attachError VolumeError? 3 omitempty
        detachError VolumeError? 4 omitempty

      struct VolumeError
        time Time 1 omitempty
        message string 2 omitempty
        errorCode int32? 3 omitempty

      struct CSIDriverSpec
        attachRequired bool? 1 omitempty
        podInfoOnMount bool? 2 omitempty
        volumeLifecycleModes [VolumeLifecycleMode] 3 omitempty set
        storageCapacity bool? 4 omitempty
        fsGroupPolicy FSGroupPolicy? 5 omitempty
        tokenRequests [TokenRequest] 6 omitempty
        requiresRepublish bool? 7 omitempty
        seLinuxMount bool? 8 omitempty
        nodeAllocatableUpdatePeriodSeconds int64? 9 omitempty
        serviceAccountTokenInSecrets bool? 10 omitempty
        preventPodSchedulingIfMissing bool? 11 omitempty

      struct TokenRequest
        audience string 1 required
        expirationSeconds int64? 2 omitempty

      struct CSINodeSpec
        drivers [CSINodeDriver] 1 required merge=name keys=name

      struct CSINodeDriver
        name string 1 required nonempty
        nodeID string 2 required nonempty
        topologyKeys [string] 3
        allocatable VolumeNodeResources? 4 omitempty

      struct VolumeNodeResources
        count int32? 1 omitempty

      struct StorageHealthCondition
        status StorageHealthStatusType 1 required  # True, False or Unknown.
        reason string 2 required  # Why, in one word.
        message string 3 omitempty  # Why, for people.
        accessMode core.PersistentVolumeAccessMode? 4 omitempty
        volumeMode core.PersistentVolumeMode? 5 omitempty
        lastTransitionTime Time 6 omitempty  # When the status last changed.

      struct StorageHealth
        name string 1 required nonempty
        healthConditions [StorageHealthCondition] 2 omitempty

      struct CSINodeStatus
        storageHealth [StorageHealth] 1 omitempty merge=name keys=name

      """#
    ),
    (
      "storagemigration.v1",
      #"""
      // storagemigration.k8s.io/v1

      schema storagemigration.k8s.io/v1 as storagemigration priority 15800 15

      kind StorageVersionMigration  # StorageVersionMigration rewrites stored objects in the current version.
        @resource storageversionmigrations storageversionmigration
        @scope cluster
        @subresource status get,patch,update
        @column string Name
        @column string Resource
        @column string Status
        metadata meta.ObjectMeta 1 omitempty
        spec StorageVersionMigrationSpec 2 omitempty  # The wanted state.
        status StorageVersionMigrationStatus 3 omitempty  # The last observed state.

      struct StorageVersionMigrationSpec
        resource meta.GroupResource 1 required

      struct StorageVersionMigrationStatus
        conditions [meta.Condition] 1 omitempty merge=type keys=type
        resourceVersion string 2 omitempty

      """#
    ),
  ]
}
