import KubeClient
import KubeTypes
import Schema
import Store
import Synchronization
import Testing
import Wire

@testable import APIServer

@Suite struct ResourceTests {
  @Test func createsReadsAndRefusesTwice() async throws {
    try await Fixture.run { fixture in
      let created = try await fixture.configMap("a").json()
      #expect(created["kind"] == "ConfigMap")
      #expect(created.at("metadata", "namespace") == "default")
      #expect(created.at("metadata", "uid")?.string?.count == 36)
      #expect(created.at("metadata", "resourceVersion")?.string.flatMap(Int64.init) ?? 0 > 0)
      #expect(try await fixture.get("configmaps", "a") == created)
      let twice = await refusal { _ = try await fixture.configMap("a") }
      #expect(twice?.code == 409)
      #expect(twice?.message == "configmaps \"a\" already exists")
      let missing = await refusal { _ = try await fixture.get("configmaps", "b") }
      #expect(missing?.message == "configmaps \"b\" not found")
      #expect(missing?.details?.kind == "configmaps")
    }
  }

  @Test func namesAreGenerated() async throws {
    try await Fixture.run { fixture in
      let object = try await fixture.create("configmaps", ["metadata": ["generateName": "x-"]])
      #expect(object.header.name.hasPrefix("x-"))
      #expect(object.header.name.count == 7)
      let bad = await refusal { _ = try await fixture.create("configmaps", ["metadata": [:]]) }
      #expect(bad?.code == 422)
      #expect(bad?.details?.causes.first?.field == "metadata.name")
    }
  }

  @Test func dryRunWritesNothing() async throws {
    try await Fixture.run { fixture in
      let before = fixture.store.revision
      let object = try await fixture.create("configmaps", ["metadata": ["name": "a"]], dryRun: true)
      #expect(object.header.name == "a")
      #expect(fixture.store.revision == before)
    }
  }

  @Test func staleUpdatesConflictAndBlindOnesPass() async throws {
    try await Fixture.run { fixture in
      let first = try await fixture.configMap("a").json()
      var change = first
      change["data"] = ["a": "2"]
      let second = try await fixture.update("configmaps", "a", change)
      change["data"] = ["a": "3"]
      let stale = change
      let conflict = await refusal { _ = try await fixture.update("configmaps", "a", stale) }
      #expect(conflict?.code == 409)
      #expect(
        conflict?.message
          == "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes "
          + "to the latest version and try again")
      change["metadata"]?["resourceVersion"] = nil
      let third = try await fixture.update("configmaps", "a", change)
      #expect(third["data"] == ["a": "3"])
      #expect(third.at("metadata", "uid") == second.at("metadata", "uid"))
      // The same again writes nothing.
      let revision = fixture.store.revision
      #expect(try await fixture.update("configmaps", "a", third) == third)
      #expect(fixture.store.revision == revision)
      let missing = await refusal { _ = try await fixture.update("configmaps", "b", ["metadata": ["name": "b"]]) }
      #expect(missing?.code == 404)
    }
  }

  @Test func patchesRace() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.configMap("a")
      let client = fixture.client
      try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 0..<20 {
          group.addTask {
            _ = try await client.patch(
              Fixture.resource("configmaps"), namespace: "default", name: "a", subresource: nil, type: .merge,
              body: ["data": ["k\(number)": "v"]], options: WriteOptions())
          }
        }
        try await group.waitForAll()
      }
      #expect(try await fixture.get("configmaps", "a")["data"]?.object?.count == 21)
    }
  }

  @Test func generationCountsTheSpecification() async throws {
    try await Fixture.run { fixture in
      let created = try await fixture.create("deployments", Fixture.deployment("d")).json()
      #expect(created.at("metadata", "generation") == 1)
      #expect(created.at("spec", "replicas") == 1)
      let scaled = try await fixture.patch("deployments", "d", .strategicMerge, ["spec": ["replicas": 3]])
      #expect(scaled.at("metadata", "generation") == 2)
      let labelled = try await fixture.patch("deployments", "d", .merge, ["metadata": ["labels": ["a": "b"]]])
      #expect(labelled.at("metadata", "generation") == 2)
    }
  }

  @Test func statusIsWrittenThroughItsOwnDoor() async throws {
    try await Fixture.run { fixture in
      var object = try await fixture.create("deployments", Fixture.deployment("d")).json()
      object["status"] = ["replicas": 7]
      object["spec"]?["replicas"] = 2
      let updated = try await fixture.update("deployments", "d", object)
      #expect(updated.at("status", "replicas") == nil)
      #expect(updated.at("spec", "replicas") == 2)
      var status = updated
      status["status"] = ["replicas": 7]
      status["spec"]?["replicas"] = 9
      let written = try await fixture.update("deployments", "d", status, subresource: "status")
      #expect(written.at("status", "replicas") == 7)
      #expect(written.at("spec", "replicas") == 2)
      #expect(written.at("metadata", "generation") == 2)
    }
  }

  @Test func scaleIsAViewOfReplicas() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create("deployments", Fixture.deployment("d"))
      let scale = try await fixture.patch(
        "deployments", "d", .merge, ["spec": ["replicas": 5]], subresource: "scale")
      #expect(scale["kind"] == "Scale")
      #expect(scale.at("spec", "replicas") == 5)
      #expect(scale.at("status", "selector") == "app=x")
      #expect(try await fixture.get("deployments", "d").at("spec", "replicas") == 5)
      let negative = await refusal {
        _ = try await fixture.patch("deployments", "d", .merge, ["spec": ["replicas": -1]], subresource: "scale")
      }
      #expect(negative?.code == 422)
    }
  }

  @Test func finalizersHoldADeletedObject() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create("configmaps", ["metadata": ["name": "a", "finalizers": ["x.io/y"]]])
      let marked = try await fixture.delete("configmaps", "a")
      #expect(marked.at("metadata", "deletionTimestamp") != nil)
      let added = await refusal {
        _ = try await fixture.patch("configmaps", "a", .merge, ["metadata": ["finalizers": ["x.io/y", "x.io/z"]]])
      }
      #expect(added?.code == 422)
      _ = try await fixture.patch("configmaps", "a", .merge, ["metadata": ["finalizers": nil]])
      #expect(await refusal { _ = try await fixture.get("configmaps", "a") }?.code == 404)
    }
  }

  @Test func propagationPoliciesLeaveFinalizers() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.configMap("a")
      let foreground = try await fixture.delete("configmaps", "a", DeleteOptions(propagationPolicy: .foreground))
      #expect(foreground.at("metadata", "finalizers") == ["foregroundDeletion"])
      _ = try await fixture.configMap("b")
      let orphan = try await fixture.delete("configmaps", "b", DeleteOptions(propagationPolicy: .orphan))
      #expect(orphan.at("metadata", "finalizers") == ["orphan"])
    }
  }

  @Test func preconditionsAreChecked() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.configMap("a")
      let wrong = await refusal {
        try await fixture.delete("configmaps", "a", DeleteOptions(preconditionUID: "other"))
      }
      #expect(wrong?.code == 409)
      #expect(try await fixture.get("configmaps", "a")["kind"] == "ConfigMap")
    }
  }

  @Test func podsHaveAGracePeriodOnANode() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create("pods", Fixture.pod("free"))
      try await fixture.delete("pods", "free")
      #expect(await refusal { _ = try await fixture.get("pods", "free") }?.code == 404)

      _ = try await fixture.create("pods", Fixture.pod("bound", node: "n"))
      let marked = try await fixture.delete("pods", "bound")
      #expect(marked.at("metadata", "deletionGracePeriodSeconds") == 30)
      #expect(
        marked.at("metadata", "deletionTimestamp")?.string
          == fixture.clock.now().adding(.seconds(30)).rfc3339)
      // Longer does nothing, shorter counts, zero removes.
      let longer = try await fixture.delete("pods", "bound", DeleteOptions(gracePeriodSeconds: 60))
      #expect(longer.at("metadata", "deletionGracePeriodSeconds") == 30)
      let shorter = try await fixture.delete("pods", "bound", DeleteOptions(gracePeriodSeconds: 5))
      #expect(shorter.at("metadata", "deletionGracePeriodSeconds") == 5)
      try await fixture.delete("pods", "bound", DeleteOptions(gracePeriodSeconds: 0))
      #expect(await refusal { _ = try await fixture.get("pods", "bound") }?.code == 404)
    }
  }

  @Test func bindingPutsAPodOnANodeOnce() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create("pods", Fixture.pod("p"))
      func bind(_ node: String) async throws {
        _ = try await fixture.client.create(
          Fixture.resource("pods"), namespace: "default", name: "p", subresource: "binding",
          body: ["target": ["kind": "Node", "name": .string(node)]], options: WriteOptions())
      }
      try await bind("n1")
      let pod = try await fixture.get("pods", "p")
      #expect(pod.at("spec", "nodeName") == "n1")
      #expect(pod.at("status", "conditions")?.array?.first?["type"] == "PodScheduled")
      #expect(await refusal { try await bind("n2") }?.code == 409)
    }
  }

  @Test func namespacesWaitForTheirFinalizer() async throws {
    try await Fixture.run { fixture in
      let created = try await fixture.create("namespaces", ["metadata": ["name": "n"]]).json()
      #expect(created.at("spec", "finalizers") == ["kubernetes"])
      #expect(created.at("status", "phase") == "Active")
      let marked = try await fixture.delete("namespaces", "n")
      #expect(marked.at("status", "phase") == "Terminating")
      let late = await refusal {
        _ = try await fixture.client.create(
          Fixture.resource("configmaps"), namespace: "n", name: nil, subresource: nil,
          body: ["metadata": ["name": "x"]], options: WriteOptions())
      }
      #expect(
        late?.message
          == "configmaps \"x\" is forbidden: unable to create new content in namespace n because it is being terminated"
      )
      var final = marked
      final["spec"]?["finalizers"] = nil
      _ = try await fixture.update("namespaces", "n", final, subresource: "finalize")
      #expect(await refusal { _ = try await fixture.get("namespaces", "n") }?.code == 404)
      #expect(await refusal { try await fixture.delete("namespaces", "default") }?.code == 403)
    }
  }

  @Test func listsInPagesOfOneRevision() async throws {
    try await Fixture.run { fixture in
      for number in 0..<5 { _ = try await fixture.configMap("c\(number)", labels: number < 4 ? ["a": "b"] : [:]) }
      func page(_ token: String, _ selector: String = "") async throws -> ObjectList {
        try await fixture.client.list(
          Fixture.resource("configmaps"), namespace: "default",
          options: ListOptions(labelSelector: selector, limit: 2, continueToken: token))
      }
      let first = try await page("")
      #expect(first.items.map(\.header.name) == ["c0", "c1"])
      // What comes after the first page does not show in the second.
      _ = try await fixture.configMap("c11")
      try await fixture.delete("configmaps", "c3")
      let second = try await page(first.continueToken)
      #expect(second.items.map(\.header.name) == ["c2", "c3"])
      #expect(second.resourceVersion == first.resourceVersion)
      let third = try await page(second.continueToken)
      #expect(third.items.map(\.header.name) == ["c4"])
      #expect(third.continueToken.isEmpty)
      let selected = try await page("", "a=b")
      #expect(selected.items.map(\.header.name) == ["c0", "c1"])
      #expect(try await page(selected.continueToken, "a=b").items.map(\.header.name) == ["c2"])
    }
  }

  @Test func compactedTokensExpire() async throws {
    var options = StoreOptions()
    options.historyCountMax = 4
    try await Fixture.run(options: options) { fixture in
      for number in 0..<3 { _ = try await fixture.configMap("c\(number)") }
      let first = try await fixture.client.list(
        Fixture.resource("configmaps"), namespace: "default", options: ListOptions(limit: 1))
      for number in 10..<30 { _ = try await fixture.configMap("c\(number)") }
      let expired = await refusal {
        _ = try await fixture.client.list(
          Fixture.resource("configmaps"), namespace: "default",
          options: ListOptions(limit: 1, continueToken: first.continueToken))
      }
      #expect(expired?.reason == .expired)
      let watch = await refusal {
        _ = try await fixture.client.watch(
          Fixture.resource("configmaps"), namespace: "default",
          options: ListOptions(resourceVersion: first.resourceVersion))
      }
      #expect(watch?.code == 410)
      let future = await refusal {
        _ = try await fixture.client.list(
          Fixture.resource("configmaps"), namespace: "default", options: ListOptions(resourceVersion: "999999"))
      }
      #expect(future?.code == 504)
    }
  }
}

@Suite struct WatchTests {
  private static func describe(_ event: WatchEvent) -> String {
    switch event {
    case .added(let object): "ADDED \(object.header.name)"
    case .modified(let object): "MODIFIED \(object.header.name)"
    case .deleted(let object): "DELETED \(object.header.name)"
    case .bookmark(let revision): "BOOKMARK \(revision)"
    }
  }

  @Test func selectorsTurnChangesIntoComingAndGoing() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.configMap("old", labels: ["app": "x"])
      let stream = try await fixture.client.watch(
        Fixture.resource("configmaps"), namespace: "default", options: ListOptions(labelSelector: "app=x"))
      _ = try await fixture.configMap("other")
      _ = try await fixture.configMap("new", labels: ["app": "x"])
      _ = try await fixture.patch("configmaps", "new", .merge, ["data": ["a": "2"]])
      _ = try await fixture.patch("configmaps", "other", .merge, ["metadata": ["labels": ["app": "x"]]])
      _ = try await fixture.patch("configmaps", "new", .merge, ["metadata": ["labels": ["app": "y"]]])
      try await fixture.delete("configmaps", "new")
      try await fixture.delete("configmaps", "other")
      var seen: [String] = []
      for try await event in stream {
        seen.append(Self.describe(event))
        if seen.count == 6 { break }
      }
      #expect(
        seen == ["ADDED old", "ADDED new", "MODIFIED new", "ADDED other", "DELETED new", "DELETED other"])
    }
  }

  /// What is picked by a field before the watch looks at it: one that moves comes to one watch and leaves the other.
  @Test(arguments: ["", "spec.restartPolicy=Always,", "metadata.namespace=default,spec.restartPolicy!=Never,"])
  func fieldsTurnChangesIntoComingAndGoing(more: String) async throws {
    try await Fixture.run { fixture in
      func watch(_ fields: String) async throws -> WatchStream {
        try await fixture.client.watch(
          Fixture.resource("pods"), namespace: nil,
          options: ListOptions(
            fieldSelector: more + fields, resourceVersion: String(fixture.store.revision)))
      }
      let streams = try await [watch("spec.nodeName="), watch("spec.nodeName=n"), watch("metadata.name=p")]
      _ = try await fixture.create("pods", Fixture.pod("other", node: "m"))
      let pod = try await fixture.create("pods", Fixture.pod("p"))
      var bound = pod.json()
      bound["spec"]?["nodeName"] = "n"
      let operation = ResourceService.putting(
        bound, key: "pods/default/p", expecting: .revision(pod.header.resourceVersion))
      try await fixture.store.commit([operation])
      try await fixture.delete("pods", "p", DeleteOptions(gracePeriodSeconds: 0))
      let expected = [
        ["ADDED p", "DELETED p"], ["ADDED p", "DELETED p"], ["ADDED p", "MODIFIED p", "DELETED p"],
      ]
      for (stream, expected) in zip(streams, expected) {
        var seen: [String] = []
        for try await event in stream {
          seen.append(Self.describe(event))
          if seen.count == expected.count { break }
        }
        #expect(seen == expected)
      }
    }
  }

  /// One name in one namespace is asked for by its key, of which others may be the beginning.
  @Test func oneNameIsWatchedByItsKey() async throws {
    try await Fixture.run { fixture in
      let stream = try await fixture.client.watch(
        Fixture.resource("configmaps"), namespace: "default", options: ListOptions(fieldSelector: "metadata.name=a"))
      for name in ["ab", "a", "b"] { _ = try await fixture.configMap(name) }
      try await fixture.delete("configmaps", "ab")
      try await fixture.delete("configmaps", "a")
      var seen: [String] = []
      for try await event in stream {
        seen.append(Self.describe(event))
        if seen.count == 2 { break }
      }
      #expect(seen == ["ADDED a", "DELETED a"])
    }
  }

  /// A bookmark is never older than an event that came before it, although other watches may still have to be told.
  @Test func aBookmarkIsNoOlderThanTheEvents() async throws {
    try await Fixture.run { fixture in
      let service = fixture.client.service
      let kind = try service.kind(Fixture.resource("configmaps"))
      let source = WatchSource(
        service, kind,
        WatchSource.Options(resourceVersion: String(fixture.store.revision), allowBookmarks: true), wake: {})
      try source.start()
      // The first watch of the same prefix is told first; the one behind it asks while the telling goes on.
      let bookmarks = Mutex<[Int64]>([])
      let watch = try fixture.store.watch(
        prefix: StoreKey.prefix(kind), after: fixture.store.revision
      ) { _ in
        guard let last = source.take().notices.last, case .added(let entry) = last,
          case .bookmark(let revision, _)? = source.bookmark()
        else { return }
        bookmarks.withLock { $0.append(revision - entry.revision) }
      }
      for number in 0..<20 { _ = try await fixture.configMap("c\(number)") }
      await fixture.settle()
      #expect(bookmarks.withLock { $0 } == Array(repeating: 0, count: 20))
      watch.cancel()
      source.cancel()
    }
  }

  @Test func resumesAfterAVersion() async throws {
    try await Fixture.run { fixture in
      let first = try await fixture.configMap("a")
      _ = try await fixture.configMap("b")
      let stream = try await fixture.client.watch(
        Fixture.resource("configmaps"), namespace: "default",
        options: ListOptions(resourceVersion: String(first.header.resourceVersion)))
      try await fixture.delete("configmaps", "a")
      var seen: [String] = []
      for try await event in stream {
        seen.append(Self.describe(event))
        if seen.count == 2 { break }
      }
      #expect(seen == ["ADDED b", "DELETED a"])
    }
  }

  @Test func whatWaitsIsTakenInPiecesAndInOrder() async throws {
    try await Fixture.run { fixture in
      let kind = try fixture.client.service.kind(Fixture.resource("configmaps"))
      let names = (0..<3000).map { "c\(1000 + $0)" }
      try await fixture.store.commit(
        names.map { name in
          let object: JSON = [
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": .string(name), "namespace": "default"],
          ]
          let (bytes, revisionAt) = Canonical.encode(object)
          return .put(
            "configmaps/default/\(name)", value: bytes, revisionAt: revisionAt, header: ObjectHeader(object))
        })
      let source = WatchSource(fixture.client.service, kind, WatchSource.Options(), wake: {})
      try source.start()
      for name in ["d1", "d2", "d3"] { _ = try await fixture.configMap(name) }
      await fixture.settle()
      let full = source.waitingBytes
      var seen: [String] = []
      func take(_ limit: Int, bytes: Int) -> Int {
        let (notices, isEnded) = source.take(limit, bytes: bytes)
        #expect(!isEnded)
        for notice in notices {
          guard case .added(let entry) = notice else { continue }
          seen.append(entry.header.name)
        }
        return notices.count
      }
      #expect(take(.max, bytes: 1) == 1)
      while take(7, bytes: .max) == 7 {}
      // 3,002 were left: the last piece was no full one.
      #expect(seen == names + ["d1", "d2", "d3"])
      #expect(source.waitingBytes < full / 100, "an empty queue gives its memory back")
      source.cancel()
      #expect(source.take().isEnded)
    }
  }

  @Test(.timeLimit(.minutes(1))) func theStoresEndIsTheStreamsEnd() async throws {
    let fixture = try Fixture()
    let stream = try await fixture.client.watch(
      Fixture.resource("pods"), namespace: nil, options: ListOptions())
    fixture.store.close()
    for try await _ in stream {}
    await fixture.close()
  }

  @Test func aGracePeriodOfAnyLengthIsTaken() async throws {
    try await Fixture.run { fixture in
      _ = try await fixture.create("pods", Fixture.pod("p", node: "n"))
      let marked = try await fixture.delete("pods", "p", DeleteOptions(gracePeriodSeconds: .max))
      #expect(marked.at("metadata", "deletionTimestamp") == "9999-12-31T23:59:59Z")
      try await fixture.delete("pods", "p", DeleteOptions(gracePeriodSeconds: 0))
    }
  }

  @Test func aSubresourceIsNoWayToTheWholeObject() async throws {
    try await Fixture.run { fixture in
      let pod = try await fixture.create("pods", Fixture.pod("p")).json()
      for subresource in ["eviction", "binding", "proxy", "exec"] {
        let refused = await refusal {
          _ = try await fixture.update("pods", "p", pod, subresource: subresource)
        }
        #expect(refused?.code == 405)
      }
      let resized = try await fixture.patch(
        "pods", "p", .strategicMerge,
        [
          "metadata": ["labels": ["a": "b"]],
          "spec": ["containers": [["name": "c", "image": "evil:1", "resources": ["limits": ["cpu": "2"]]]]],
        ], subresource: "resize")
      let container = try #require(resized.at("spec", "containers")?.array?.first)
      #expect(container["image"] == "i:1" && container.at("resources", "limits", "cpu") == "2")
      #expect(resized.at("metadata", "labels", "a") == nil)
    }
  }
}
