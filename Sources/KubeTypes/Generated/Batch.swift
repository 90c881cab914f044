// Written by `schemac generate` from Schemas/. Change those files, not this one.
// swift-format-ignore-file

public import Schema
public import Wire

/// CronJob starts jobs at the times of a schedule.
public struct CronJob: KubeKind {
  public static let resource = GroupVersionResource(group: "batch", version: "v1", resource: "cronjobs")
  public static let isNamespaced = true
  public static let kind = "CronJob"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: CronJobSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: CronJobStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

/// CronJobSpec describes when and how jobs are started.
public struct CronJobSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// When to start, in cron's five fields.
  public var schedule: String? { get { json[string: "schedule"] } set { json[string: "schedule"] = newValue } }
  /// Time zone of the schedule; the server's unless told.
  public var timeZone: String? { get { json[string: "timeZone"] } set { json[string: "timeZone"] = newValue } }
  /// Seconds a missed start may be late.
  public var startingDeadlineSeconds: Int64? { get { json[int: "startingDeadlineSeconds"] } set { json[int: "startingDeadlineSeconds"] = newValue } }
  /// Allow, Forbid or Replace: what happens when the last job still runs.
  public var concurrencyPolicy: String? { get { json[string: "concurrencyPolicy"] } set { json[string: "concurrencyPolicy"] = newValue } }
  /// Whether no jobs are started.
  public var suspend: Bool? { get { json[bool: "suspend"] } set { json[bool: "suspend"] = newValue } }
  /// The jobs to start.
  public var jobTemplate: JobTemplateSpec { get { json[view: "jobTemplate"] } _modify { yield &json[view: "jobTemplate"] } }
  /// How many ended jobs are kept; 3 unless told.
  public var successfulJobsHistoryLimit: Int64? { get { json[int: "successfulJobsHistoryLimit"] } set { json[int: "successfulJobsHistoryLimit"] = newValue } }
  /// How many failed jobs are kept; 1 unless told.
  public var failedJobsHistoryLimit: Int64? { get { json[int: "failedJobsHistoryLimit"] } set { json[int: "failedJobsHistoryLimit"] = newValue } }
}

public struct CronJobStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var active: [ObjectReference] { get { json[views: "active"] } set { json[views: "active"] = newValue } }
  public var lastScheduleTime: String? { get { json[string: "lastScheduleTime"] } set { json[string: "lastScheduleTime"] = newValue } }
  public var lastSuccessfulTime: String? { get { json[string: "lastSuccessfulTime"] } set { json[string: "lastSuccessfulTime"] = newValue } }
}

/// Job runs pods until a number of them has succeeded.
public struct Job: KubeKind {
  public static let resource = GroupVersionResource(group: "batch", version: "v1", resource: "jobs")
  public static let isNamespaced = true
  public static let kind = "Job"
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: JobSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
  /// The last observed state.
  public var status: JobStatus { get { json[view: "status"] } _modify { yield &json[view: "status"] } }
}

public struct JobCondition: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Which aspect, in one word.
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  /// True, False or Unknown.
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
  /// When it was last checked.
  public var lastProbeTime: String? { get { json[string: "lastProbeTime"] } set { json[string: "lastProbeTime"] = newValue } }
  /// When the status last changed.
  public var lastTransitionTime: String? { get { json[string: "lastTransitionTime"] } set { json[string: "lastTransitionTime"] = newValue } }
  /// Why, in one word.
  public var reason: String? { get { json[string: "reason"] } set { json[string: "reason"] = newValue } }
  /// Why, for people.
  public var message: String? { get { json[string: "message"] } set { json[string: "message"] = newValue } }
}

/// JobSpec describes how a job runs.
public struct JobSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// How many pods run at the same time.
  public var parallelism: Int64? { get { json[int: "parallelism"] } set { json[int: "parallelism"] = newValue } }
  /// How many pods must succeed.
  public var completions: Int64? { get { json[int: "completions"] } set { json[int: "completions"] = newValue } }
  /// Seconds after which the job is ended.
  public var activeDeadlineSeconds: Int64? { get { json[int: "activeDeadlineSeconds"] } set { json[int: "activeDeadlineSeconds"] = newValue } }
  public var podFailurePolicy: PodFailurePolicy? { get { json[optionalView: "podFailurePolicy"] } _modify { yield &json[optionalView: "podFailurePolicy"] } }
  public var successPolicy: SuccessPolicy? { get { json[optionalView: "successPolicy"] } _modify { yield &json[optionalView: "successPolicy"] } }
  /// How many failures are tried again; 6 unless told.
  public var backoffLimit: Int64? { get { json[int: "backoffLimit"] } set { json[int: "backoffLimit"] = newValue } }
  public var backoffLimitPerIndex: Int64? { get { json[int: "backoffLimitPerIndex"] } set { json[int: "backoffLimitPerIndex"] = newValue } }
  public var maxFailedIndexes: Int64? { get { json[int: "maxFailedIndexes"] } set { json[int: "maxFailedIndexes"] = newValue } }
  public var selector: LabelSelector? { get { json[optionalView: "selector"] } _modify { yield &json[optionalView: "selector"] } }
  public var manualSelector: Bool? { get { json[bool: "manualSelector"] } set { json[bool: "manualSelector"] = newValue } }
  /// Their restart policy is Never or OnFailure.
  public var template: PodTemplateSpec { get { json[view: "template"] } _modify { yield &json[view: "template"] } }
  /// Seconds after its end when the job is deleted.
  public var ttlSecondsAfterFinished: Int64? { get { json[int: "ttlSecondsAfterFinished"] } set { json[int: "ttlSecondsAfterFinished"] = newValue } }
  /// NonIndexed, or Indexed to number the pods.
  public var completionMode: String? { get { json[string: "completionMode"] } set { json[string: "completionMode"] = newValue } }
  /// Whether the job waits.
  public var suspend: Bool? { get { json[bool: "suspend"] } set { json[bool: "suspend"] = newValue } }
  public var podReplacementPolicy: String? { get { json[string: "podReplacementPolicy"] } set { json[string: "podReplacementPolicy"] = newValue } }
  public var managedBy: String? { get { json[string: "managedBy"] } set { json[string: "managedBy"] = newValue } }
}

public struct JobStatus: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  /// Aspects of the current state.
  public var conditions: [JobCondition] { get { json[views: "conditions"] } set { json[views: "conditions"] = newValue } }
  public var startTime: String? { get { json[string: "startTime"] } set { json[string: "startTime"] = newValue } }
  public var completionTime: String? { get { json[string: "completionTime"] } set { json[string: "completionTime"] = newValue } }
  public var active: Int64? { get { json[int: "active"] } set { json[int: "active"] = newValue } }
  public var succeeded: Int64? { get { json[int: "succeeded"] } set { json[int: "succeeded"] = newValue } }
  public var failed: Int64? { get { json[int: "failed"] } set { json[int: "failed"] = newValue } }
  public var terminating: Int64? { get { json[int: "terminating"] } set { json[int: "terminating"] = newValue } }
  public var completedIndexes: String? { get { json[string: "completedIndexes"] } set { json[string: "completedIndexes"] = newValue } }
  public var failedIndexes: String? { get { json[string: "failedIndexes"] } set { json[string: "failedIndexes"] = newValue } }
  public var uncountedTerminatedPods: UncountedTerminatedPods? { get { json[optionalView: "uncountedTerminatedPods"] } _modify { yield &json[optionalView: "uncountedTerminatedPods"] } }
  public var ready: Int64? { get { json[int: "ready"] } set { json[int: "ready"] = newValue } }
}

public struct JobTemplateSpec: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var metadata: ObjectMeta { get { json[view: "metadata"] } _modify { yield &json[view: "metadata"] } }
  public var spec: JobSpec { get { json[view: "spec"] } _modify { yield &json[view: "spec"] } }
}

public struct PodFailurePolicy: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var rules: [PodFailurePolicyRule] { get { json[views: "rules", keepsEmpty: true] } set { json[views: "rules", keepsEmpty: true] = newValue } }
}

public struct PodFailurePolicyOnExitCodesRequirement: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var containerName: String? { get { json[string: "containerName"] } set { json[string: "containerName"] = newValue } }
  public var `operator`: String? { get { json[string: "operator"] } set { json[string: "operator"] = newValue } }
  public var values: [Int64] { get { json[ints: "values", keepsEmpty: true] } set { json[ints: "values", keepsEmpty: true] = newValue } }
}

public struct PodFailurePolicyOnPodConditionsPattern: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var type: String? { get { json[string: "type"] } set { json[string: "type"] = newValue } }
  /// The last observed state.
  public var status: String? { get { json[string: "status"] } set { json[string: "status"] = newValue } }
}

public struct PodFailurePolicyRule: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var action: String? { get { json[string: "action"] } set { json[string: "action"] = newValue } }
  public var onExitCodes: PodFailurePolicyOnExitCodesRequirement? { get { json[optionalView: "onExitCodes"] } _modify { yield &json[optionalView: "onExitCodes"] } }
  public var onPodConditions: [PodFailurePolicyOnPodConditionsPattern] { get { json[views: "onPodConditions"] } set { json[views: "onPodConditions"] = newValue } }
}

public struct SuccessPolicy: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var rules: [SuccessPolicyRule] { get { json[views: "rules", keepsEmpty: true] } set { json[views: "rules", keepsEmpty: true] = newValue } }
}

public struct SuccessPolicyRule: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var succeededIndexes: String? { get { json[string: "succeededIndexes"] } set { json[string: "succeededIndexes"] = newValue } }
  public var succeededCount: Int64? { get { json[int: "succeededCount"] } set { json[int: "succeededCount"] = newValue } }
}

public struct UncountedTerminatedPods: KubeValue {
  public var json: JSON
  public init(json: JSON) { self.json = json }
  public var succeeded: [String] { get { json[strings: "succeeded"] } set { json[strings: "succeeded"] = newValue } }
  public var failed: [String] { get { json[strings: "failed"] } set { json[strings: "failed"] = newValue } }
}
