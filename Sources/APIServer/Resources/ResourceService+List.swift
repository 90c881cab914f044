import KubeClient
import KubeTypes
import Schema
import Store
import Wire

/// The entries of a list at one revision.
struct ListResult: Sendable {
  var entries: [Entry]
  var revision: Int64
  /// Where the next page starts; empty at the end.
  var continueToken = ""
  /// Only known for lists without a selector.
  var remaining: Int?
}

/// Where a paged list goes on: the revision of its first page, when the last one was given, and the last key in it.
struct ContinueToken: Equatable {
  /// `inconsistent` for the present state, whatever the first page was of.
  var revision: Int64
  var after: String
  /// Seconds since 1970. A token ends with the history's age, also when nothing is written and the history stays.
  var issuedAt: Int64

  static let inconsistent: Int64 = -1

  init(revision: Int64, after: String, issuedAt: Int64) {
    self.revision = revision
    self.after = after
    self.issuedAt = issuedAt
  }

  var text: String {
    let json: JSON = ["v": "apus.v1", "rv": .int(revision), "start": .string(after), "t": .int(issuedAt)]
    return Base64.encode(json.serialized(), urlSafe: true).replacing("=", with: "")
  }

  /// `nil` for a text that no server of this kind made.
  init?(_ text: String) {
    guard let bytes = Base64.decode(text, urlSafe: true), let json = try? JSON.parse(bytes),
      json["v"]?.string == "apus.v1", let revision = json["rv"]?.int, let after = json["start"]?.string,
      // Who makes one himself chooses the number, which is reckoned with.
      let issuedAt = json["t"]?.int, (0...1 << 40).contains(issuedAt), revision >= Self.inconsistent
    else { return nil }
    self.init(revision: revision, after: after, issuedAt: issuedAt)
  }
}

extension ResourceService {
  /// Lists the objects of a kind, answered from memory.
  ///
  /// - Parameters:
  ///   - namespace: empty for all.
  ///   - resourceVersionMatch: empty, `NotOlderThan` or `Exact`.
  func list(
    _ kind: KindSchema, namespace: String, selector: ObjectSelector, limit: Int = 0, continueToken: String = "",
    resourceVersion: String = "", resourceVersionMatch: String = ""
  ) throws(KubeError) -> ListResult {
    var list = try storedList(
      kind, namespace: namespace, selector: selector, limit: limit, continueToken: continueToken,
      resourceVersion: resourceVersion, resourceVersionMatch: resourceVersionMatch)
    if kind.isConverted { list.entries = list.entries.map { Self.served($0, as: kind) } }
    return list
  }

  /// The same, in the form that is stored.
  func storedList(
    _ kind: KindSchema, namespace: String, selector: ObjectSelector, limit: Int = 0, continueToken: String = "",
    resourceVersion: String = "", resourceVersionMatch: String = ""
  ) throws(KubeError) -> ListResult {
    var revision: Int64?
    var after: String?
    if !continueToken.isEmpty {
      guard resourceVersion.isEmpty || resourceVersion == "0" else {
        throw .badRequest("specifying resource version is not allowed when using continue")
      }
      guard let token = ContinueToken(continueToken) else {
        throw .badRequest("continue key is not valid: it was not made by this server")
      }
      if token.revision != ContinueToken.inconsistent {
        revision = token.revision
        let age = time.now().microseconds / 1_000_000 - token.issuedAt
        if age > store.options.historyAgeMax.components.seconds { throw tooOld(token) }
      }
      after = token.after
    } else if !resourceVersion.isEmpty, resourceVersion != "0" {
      let asked = try Self.parseRevision(resourceVersion)
      let current = store.revision
      if asked > current { throw .tooLargeResourceVersion(asked, current: current) }
      if resourceVersionMatch == "Exact" || (resourceVersionMatch.isEmpty && limit > 0) { revision = asked }
    } else if resourceVersionMatch == "Exact" {
      throw .badRequest("resourceVersionMatch Exact is forbidden unless resourceVersion is provided and not 0")
    }
    if !["", "Exact", "NotOlderThan"].contains(resourceVersionMatch) {
      throw .badRequest("resourceVersionMatch: Unsupported value: \"\(resourceVersionMatch)\"")
    }
    let prefix = StoreKey.prefix(kind, namespace: namespace)
    do {
      if let name = selector.fields.exactName, revision == nil, !namespace.isEmpty || !kind.isNamespaced {
        let current = store.revision
        let entry = store.get(prefix + name)
        return ListResult(entries: entry.map { selector.matches($0) ? [$0] : [] } ?? [], revision: current)
      }
      if selector.selectsEverything {
        let page = try store.list(prefix: prefix, after: after, limit: limit, at: revision)
        return result(page.entries, page.revision, hasMore: page.remaining != nil, remaining: page.remaining)
      }
      // With a selector, pages are read until enough entries match.
      var matching: [Entry] = []
      while true {
        let page = try store.list(prefix: prefix, after: after, limit: limit > 0 ? max(limit, 500) : 0, at: revision)
        for (index, entry) in page.entries.enumerated() where selector.matches(entry) {
          matching.append(entry)
          if limit > 0, matching.count == limit {
            let hasMore = index + 1 < page.entries.count || page.remaining != nil
            return result(matching, page.revision, hasMore: hasMore, remaining: nil)
          }
        }
        guard page.remaining != nil, let last = page.entries.last else {
          return ListResult(entries: matching, revision: page.revision)
        }
        revision = page.revision
        after = last.key
      }
    } catch {
      if case .compacted = error {
        if let token = ContinueToken(continueToken) { throw tooOld(token) }
        throw .expired("The resourceVersion for the provided list is too old.")
      }
      if case .futureRevision(let asked, let current) = error {
        throw .tooLargeResourceVersion(asked, current: current)
      }
      throw .unavailable("the list cannot be read: \(error)")
    }
  }

  /// The list can go on nevertheless, with what is there now.
  private func tooOld(_ token: ContinueToken) -> KubeError {
    .expired(
      "The provided continue parameter is too old for a consistent list. Start again without it, or go on with the "
        + "token of this answer: what was made, changed or deleted since the first page may then be missing or shown "
        + "as it is now.",
      continueToken: ContinueToken(
        revision: ContinueToken.inconsistent, after: token.after, issuedAt: token.issuedAt
      ).text)
  }

  private func result(_ entries: [Entry], _ revision: Int64, hasMore: Bool, remaining: Int?) -> ListResult {
    var result = ListResult(entries: entries, revision: revision)
    if hasMore, let last = entries.last {
      result.continueToken =
        ContinueToken(
          revision: revision, after: last.key, issuedAt: time.now().microseconds / 1_000_000
        ).text
      result.remaining = remaining
    }
    return result
  }

  static func parseRevision(_ text: String) throws(KubeError) -> Int64 {
    guard let revision = Int64(text), revision >= 0 else {
      throw .badRequest("Invalid value: \"\(text)\": resourceVersion must be a whole number of a stored version")
    }
    return revision
  }
}
