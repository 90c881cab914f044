import Wire

extension KindStrategy {
  static let apiService = KindStrategy(
    .v1("apiregistration.k8s.io", "APIService"), nameProblems: Names.pathSegment, cells: { $0.apiService },
    metadataKeptByStatus: ["labels"])
}

extension TableRow {
  fileprivate var apiService: [String: JSON] {
    let service = spec["service"]
    let name = service.map { "\($0["namespace"]?.string ?? "")/\($0["name"]?.string ?? "")" }
    let state = condition("Available")
    let status = state?["status"]?.string ?? "Unknown"
    let reason = state?["reason"]?.string ?? ""
    return [
      "Service": .string(name ?? "Local"),
      "Available": .string(status == "True" || reason.isEmpty ? status : "\(status) (\(reason))"),
    ]
  }
}
