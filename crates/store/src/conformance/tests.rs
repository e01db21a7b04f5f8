//! The list of the cases as tests of their own: a macro cannot ask a module for its names.

/// Makes a `#[test]` of every case, in one module per part of the port; see [`crate::conformance`].
///
/// The argument is called once per case: `fn() -> Fixture`.
#[macro_export]
macro_rules! job_store_tests {
    ($fixture:expr) => {
        $crate::job_store_tests! {
            @modules $fixture;
            claiming: [
                first_in_first_out,
                priority_first_then_age,
                order_holds_while_jobs_are_added,
                a_claimed_job_is_held_and_shown,
                tokens_grow_with_every_claim,
                a_claim_takes_only_its_lanes_and_its_queue,
                a_claim_takes_all_that_fits,
                limits_bound_a_lane,
                no_lane_starves,
                bytes_bound_a_claim,
                nothing_free_takes_nothing,
                a_delayed_job_never_starts_early,
                a_promoted_job_has_its_old_place,
                a_due_job_has_its_old_place,
                a_released_job_has_its_old_place,
                a_retried_job_has_its_old_place,
                a_stalled_job_has_its_old_place,
                a_paused_queue_gives_nothing,
            ];
            concurrency: [
                many_workers_take_each_job_once,
                adding_and_working_go_on_together,
                many_may_add_one_key,
                one_of_many_settlements_counts,
                cancelling_and_completing_agree,
                operations_in_flight_keep_their_order,
                thousands_in_flight_keep_their_order,
                a_refused_operation_spoils_no_other,
                looking_sees_what_was_acknowledged,
            ];
            control: [
                pausing_is_remembered_per_queue,
                draining_removes_what_waits,
                draining_may_include_the_delayed,
                draining_goes_on_in_slices,
                cleaning_removes_ended_jobs_of_one_state,
                cleaning_looks_at_the_time_of_the_end,
                cleaning_removes_the_oldest_first,
                cleaning_removes_waiting_and_delayed_jobs_by_their_age,
                cleaning_refuses_active_jobs,
                cleaning_goes_on_in_slices,
                retrying_starts_over,
                retrying_is_for_ended_jobs,
                promoting_is_for_delayed_jobs,
                removing_is_for_jobs_that_do_not_run,
                cancelling_a_waiting_job_ends_it,
                cancelling_keeps_as_the_policy_says,
                cancelling_a_running_job_asks_its_worker,
                cancelling_an_ended_job_changes_nothing,
                obliterating_is_refused_while_jobs_run,
                obliterating_by_force_takes_running_jobs,
                obliterating_goes_on_in_slices_and_spares_others,
                unknown_jobs_are_not_found,
                keys_name_jobs,
            ];
            enqueue: [
                ids_grow_by_one_in_the_order_of_adding,
                ids_are_never_given_again,
                an_empty_batch_adds_nothing,
                a_key_is_given_once,
                two_of_a_batch_with_one_key_are_one_job,
                a_key_belongs_to_its_queue,
                a_key_stays_taken_after_the_end,
                a_key_is_free_again_after_removal,
                a_key_is_free_again_after_retention,
                a_key_may_look_like_a_number,
                what_is_added_is_shown,
                what_is_added_is_claimed,
                a_time_that_has_passed_means_at_once,
                a_large_batch_is_added_in_order,
                a_large_payload_comes_back,
            ];
            handles: [
                what_one_adds_the_other_sees,
                ids_keys_and_tokens_are_shared,
                the_order_of_a_lane_is_shared,
                one_may_settle_what_the_other_claimed,
                a_pause_is_for_both,
                an_obliterated_queue_begins_anew_for_both,
                both_take_each_job_once,
                the_other_hears_of_changes,
                an_end_that_is_not_kept_is_told_to_the_other,
                events_go_to_the_other_that_listens,
                closing_one_leaves_the_other,
            ];
            leases: [
                a_beat_registers_a_worker,
                a_beat_extends_the_lease,
                a_claim_registers_an_unknown_worker,
                a_lease_ends_strictly_after_its_time,
                what_an_expired_worker_held_waits_again,
                an_expired_worker_that_beats_in_time_goes_on,
                a_worker_that_was_taken_back_holds_nothing,
                only_the_expired_worker_loses_its_jobs,
                a_lost_job_dies_after_its_stalls,
                dead_jobs_are_bounded_by_their_policy,
                a_lost_job_that_was_cancelled_does_not_run_again,
                a_beat_tells_what_is_held,
                leaving_gives_everything_back_uncounted,
                leaving_ends_what_was_cancelled,
                leaving_is_for_everyone,
                workers_are_shown_per_queue,
                maintenance_promotes_what_is_due,
                maintenance_promotes_in_slices,
                maintenance_tells_when_it_is_due,
                maintenance_of_nothing_is_nothing,
            ];
            listening: [
                adding_to_an_empty_lane_makes_it_ready,
                every_lane_of_a_batch_is_ready,
                giving_back_makes_a_lane_ready,
                leaving_makes_lanes_ready,
                losing_a_worker_makes_lanes_ready,
                what_is_due_makes_a_lane_ready,
                promoting_and_retrying_make_a_lane_ready,
                resuming_makes_lanes_ready,
                delaying_tells_when_it_is_due,
                what_ends_without_a_settle_is_told,
                what_is_removed_is_told,
                a_listener_may_claim_at_once,
                a_reply_may_go_on_at_once,
                the_last_listener_counts,
                a_listener_that_is_gone_is_no_harm,
            ];
            reopening: [
                a_closed_store_says_so,
                closing_finishes_what_was_submitted,
                everything_is_there_again,
                claims_and_leases_go_on,
                ids_and_tokens_go_on,
                the_order_of_lanes_and_ends_goes_on,
                pauses_go_on,
                many_reopenings_lose_nothing,
            ];
            settling: [
                completing_keeps_the_result,
                completing_may_have_no_result,
                ending_keeps_the_error_and_counts_if_asked,
                a_retry_waits_for_its_time,
                failures_add_up_and_survive_completion,
                a_stall_is_counted_apart,
                a_job_that_stalls_too_often_is_dead,
                a_cancelled_job_never_waits_again,
                an_old_token_is_refused,
                a_token_is_good_for_one_settlement,
                a_settlement_after_the_lease_counts_if_nobody_took_the_job,
                unknown_jobs_are_refused,
                a_batch_is_settled_in_order_and_each_by_itself,
                settling_and_claiming_are_one,
                a_released_job_can_be_claimed_in_the_same_call,
                keeping_nothing_removes_at_once,
                keeping_nothing_leaves_the_others,
                the_newest_ends_are_kept_by_count,
                ends_are_kept_by_age,
                the_last_settlement_of_a_batch_bounds,
                completed_and_failed_are_bounded_apart,
                the_failed_family_is_bounded_together,
                queues_are_bounded_apart,
                retention_catches_up_over_several_calls,
                retention_leaves_running_and_waiting_jobs,
                the_bound_counts_what_is_there,
            ];
            views: [
                look_ups_answer_one_by_one,
                waiting_jobs_are_listed_in_the_order_of_claiming,
                delayed_jobs_are_listed_by_their_time,
                active_jobs_are_listed_by_id,
                ended_jobs_are_listed_newest_first,
                lists_may_be_of_one_lane,
                lists_come_in_pages,
                pages_hold_while_jobs_come_and_go,
                limits_of_a_page_are_clamped,
                a_job_that_ends_again_is_the_newest,
                counts_are_per_lane_and_state,
                queues_are_those_that_held_jobs,
                a_check_is_answered_and_changes_nothing,
                progress_is_the_last_value_and_stays,
                log_lines_are_numbered_and_paged,
                the_newest_log_lines_are_kept,
                logs_stay_with_the_job_and_go_with_it,
                notes_with_an_old_token_are_refused,
                notes_of_one_batch_are_each_by_itself,
            ];
        }
    };
    (@modules $fixture:expr; $($module:ident: [$($case:ident,)*];)*) => {
        fn fresh_fixture() -> $crate::conformance::Fixture {
            ($fixture)()
        }

        $(mod $module {
            $(#[test]
            fn $case() {
                $crate::conformance::run(concat!(stringify!($module), "::", stringify!($case)), super::fresh_fixture());
            })*
        })*

        #[test]
        fn every_case_is_run() {
            let run = [$($(concat!(stringify!($module), "::", stringify!($case))),*),*];
            assert_eq!(run.as_slice(), $crate::conformance::names());
        }
    };
}
