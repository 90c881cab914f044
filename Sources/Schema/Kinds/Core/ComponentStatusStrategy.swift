import Wire

extension KindStrategy {
  static let componentStatus = KindStrategy(
    .core("ComponentStatus"),
    cells: { row in
      let state = (row.object["conditions"]?.array ?? []).first { $0["type"]?.string == "Healthy" }
      let status = state?["status"]?.string
      return [
        "Status": .string(status == "True" ? "Healthy" : status == "False" ? "Unhealthy" : "Unknown"),
        "Message": row.text(state?["message"], or: ""), "Error": row.text(state?["error"], or: ""),
      ]
    })
}
