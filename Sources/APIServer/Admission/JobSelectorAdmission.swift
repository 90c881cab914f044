import ControllerKit
import KubeClient
import Schema
import Wire

/// A Job gets the selector and the labels by which it finds its pods, unless it chooses its selector itself
/// (`manualSelector`). What it has of them already stays, and is checked by the validation.
struct JobSelectorAdmission: AdmissionStep {
  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    guard request.operation == .create, request.kind.kind == "Job", request.kind.group == "batch",
      request.subresource.isEmpty, request.object.at("spec", "manualSelector")?.bool != true,
      let metadata = request.object["metadata"], var spec = request.object["spec"]
    else { return }
    var labels = spec.at("template", "metadata", "labels") ?? [:]
    for (key, field) in JobLabels.all where labels[key] == nil { labels[key] = metadata[field] }
    var template = spec["template"] ?? [:]
    var templateMetadata = template["metadata"] ?? [:]
    templateMetadata["labels"] = labels
    template["metadata"] = templateMetadata
    spec["template"] = template
    var selector = spec["selector"] ?? [:]
    var matched = selector["matchLabels"] ?? [:]
    if matched[JobLabels.controllerUID] == nil { matched[JobLabels.controllerUID] = metadata["uid"] }
    selector["matchLabels"] = matched
    spec["selector"] = selector
    request.object["spec"] = spec
  }
}
