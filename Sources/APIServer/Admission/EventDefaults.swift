import KubeClient
import Schema
import Wire

/// Events say where and when: what their writers leave out is filled in.
struct EventDefaults: AdmissionStep {
  let time: any TimeSource

  func admit(_ request: inout AdmissionRequest) throws(KubeError) {
    guard request.operation == .create, request.kind.kind == "Event" else { return }
    if request.kind.group.isEmpty {
      if request.object["type"]?.string?.isEmpty ?? true { request.object["type"] = "Normal" }
      let now = JSON.string(time.now().rfc3339)
      if request.object["firstTimestamp"]?.string == nil, request.object["eventTime"]?.string == nil {
        request.object["firstTimestamp"] = now
        request.object["lastTimestamp"] =
          request.object["lastTimestamp"]?.string == nil ? now : request.object["lastTimestamp"]
      }
    } else if request.object["eventTime"]?.string == nil {
      request.object["eventTime"] = .string(time.now().rfc3339Micro)
    }
  }
}
