import Wire

extension KindStrategy {
  static let priorityLevelConfiguration = KindStrategy(
    .v1("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"), cells: { $0.priorityLevelConfiguration })
}

extension TableRow {
  fileprivate var priorityLevelConfiguration: [String: JSON] {
    let queuing = spec.at("limited", "limitResponse", "queuing")
    let shares =
      spec.at("limited", "nominalConcurrencyShares") ?? spec.at("exempt", "nominalConcurrencyShares")
    return [
      "Type": text(spec["type"]), "NominalConcurrencyShares": text(shares), "Queues": text(queuing?["queues"]),
      "HandSize": text(queuing?["handSize"]), "QueueLengthLimit": text(queuing?["queueLengthLimit"]),
    ]
  }
}
