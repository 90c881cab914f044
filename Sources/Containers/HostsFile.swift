/// `/etc/hosts` of a container (hosts(5)). Pure.
package struct HostsFile: Sendable {
  package private(set) var text: String

  /// - Parameter text: whole lines to begin with.
  package init(_ text: String = "") { self.text = text }

  package mutating func add(_ address: String, _ names: [String]) {
    text += "\(address)\t\(names.joined(separator: "\t"))\n"
  }

  package mutating func add(comment: String) { text += "\n# \(comment)\n" }
}
