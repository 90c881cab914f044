import KubeClient
import KubeTypes
import Schema
import Store
import Wire

/// What narrows a list or a watch: a label selector and a field selector.
struct ObjectSelector: Sendable {
  let labels: Selector
  let fields: FieldSelector
  /// `nil` when nothing is selected.
  private let kind: KindSchema?

  static let everything = ObjectSelector()

  private init() {
    labels = .everything
    fields = FieldSelector()
    kind = nil
  }

  /// - Throws: 400 with the words of Kubernetes for text that is no selector.
  init(labels labelText: String, fields fieldText: String, kind: KindSchema) throws(KubeError) {
    do { labels = labelText.isEmpty ? .everything : try Selector(parsing: labelText) } catch {
      throw .badRequest("unable to parse requirement: \(error.message)")
    }
    fields = try FieldSelector(fieldText, kind: kind)
    self.kind = kind
  }

  var selectsEverything: Bool { labels == .everything && fields.isEmpty }

  func matches(_ entry: Entry) -> Bool {
    (labels == .everything || labels.matches(entry.header.labels))
      && (fields.isEmpty || fields.matches(entry.header, kind?.stored(entry.value) ?? entry.value))
  }

  /// What the store can pick the events of a watch by. The rest is looked at by the watch.
  var sieve: Store.Sieve? {
    // The store looks for a field where the stored form has it. Objects may be in the forms of several versions.
    if let sieve = fields.sieve, kind?.hasStoredForms != true { return sieve }
    guard let label = labels.requirements.first(where: \.asksForOneValue), let value = label.values.first else {
      return nil
    }
    return .label(label.key, value: value)
  }
}

extension Selector.Requirement {
  fileprivate var asksForOneValue: Bool {
    switch `operator` {
    case .equals, .doubleEquals: true
    case .in: values.count == 1
    case .notIn, .notEquals, .greaterThan, .lessThan, .exists, .doesNotExist: false
    }
  }
}
