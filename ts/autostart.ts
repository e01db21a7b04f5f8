/** Sees to it that one of the masters of a place (store and queue) works, once there is a sub-agent to work with. */
import { onRegistryChange, servedAgents } from "./registry";

/** What can work. */
export interface Candidate {
  /** The store and the queue. */
  readonly place: string;
  /** Begins to work in the background. */
  autostart(): void;
}

interface Place {
  /** Held: who works must not be collected. */
  owner: Candidate | undefined;
  /** Who would take over. Weak: a master that nobody knows any more has no claim. */
  readonly others: Set<WeakRef<Candidate>>;
}

const places = new Map<string, Place>();
let listening = false;

/** Lets the candidate work when there is work for it and no other does. */
export function offer(candidate: Candidate): void {
  if (!listening) {
    listening = true;
    onRegistryChange(() => {
      for (const place of places.values()) {
        fill(place);
      }
    });
  }
  let place = places.get(candidate.place);
  if (place === undefined) {
    place = { owner: undefined, others: new Set() };
    places.set(candidate.place, place);
  }
  for (const reference of place.others) {
    if (reference.deref() === undefined) {
      place.others.delete(reference);
    }
  }
  place.others.add(new WeakRef(candidate));
  fill(place);
}

/** Takes the candidate out; another one takes over. */
export function withdraw(candidate: Candidate): void {
  const place = places.get(candidate.place);
  if (place === undefined) {
    return;
  }
  for (const reference of place.others) {
    const other = reference.deref();
    if (other === undefined || other === candidate) {
      place.others.delete(reference);
    }
  }
  if (place.owner === candidate) {
    place.owner = undefined;
    fill(place);
  }
  if (place.owner === undefined && place.others.size === 0) {
    places.delete(candidate.place);
  }
}

function fill(place: Place): void {
  if (place.owner !== undefined || servedAgents().length === 0) {
    return;
  }
  for (const reference of place.others) {
    place.others.delete(reference);
    const candidate = reference.deref();
    if (candidate !== undefined) {
      place.owner = candidate;
      candidate.autostart();
      return;
    }
  }
}
