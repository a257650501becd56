"""Collectives are read from the text of compiled programs, in every notation of XLA."""

import pytest

from kd_jax.scale import hlo_collectives
from kd_jax.scale.hlo_collectives import Collective, read_collectives


@pytest.mark.parametrize(
    ('groups', 'size'),
    [
        ('replica_groups={{0,1,2,3}}', 4),
        ('replica_groups={{0,2},{1,3}}', 2),
        ('replica_groups=[2,4]<=[8]', 4),
        ('replica_groups=[4,2]<=[2,4]T(1,0)', 2),
        ("replica_groups=mesh['data'=4,'fsdp'=2] {'data'}", 4),
        ("replica_groups=mesh['data'=4,'fsdp'=2] {'data','fsdp'}", 8),
        ("replica_groups=mesh['data'=8] {'data':(2)4}", 4),
        ('replica_groups={}', 8),
    ],
)
def test_groups_are_read_in_every_notation(groups, size):
    line = f'  %all-reduce.1 = f32[10]{{0}} all-reduce(%x), channel_id=1, {groups}, to_apply=%add'
    assert [one.group for one in read_collectives(line, devices=8)] == [size]


def test_bytes_count_every_array_of_a_tuple_in_its_own_type():
    line = (
        '%all-reduce.5 = (f32[1024,8]{1,0:T(8,128)S(1)}, bf16[4]{0}, f32[]{:T(128)}) all-reduce(%a, %b, %c), '
        'channel_id=1, replica_groups={{0,1}}'
    )
    assert read_collectives(line, 2) == [Collective('all-reduce', 1024 * 8 * 4 + 4 * 2 + 4, 2)]


def test_what_each_device_sends_is_the_least_that_any_algorithm_sends():
    # 100 bytes over 4 devices are parts of 25 bytes. Each device sends 3 parts, and twice that for an all-reduce.
    sent = {kind: Collective(kind, 100, 4).sent for kind in hlo_collectives.KINDS}
    assert sent == {
        'all-reduce': 150, 'reduce-scatter': 75, 'all-gather': 75, 'all-to-all': 75, 'collective-permute': 100,
    }  # fmt: skip


def test_a_reduce_scatter_is_about_the_array_before_it_is_scattered():
    line = '%reduce-scatter.1 = f32[25]{0} reduce-scatter(%x), channel_id=3, replica_groups={{0,1,2,3}}, dimensions={0}'
    assert read_collectives(line, 4) == [Collective('reduce-scatter', 400, 4)]


def test_an_all_reduce_of_which_each_device_keeps_a_part_is_a_reduce_scatter():
    text = """
%all-reduce-scatter (input: f32[100]) -> f32[25] {
  %all-reduce.9 = f32[100]{0} all-reduce(%input), channel_id=10, replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %dynamic-slice.12 = f32[25]{0} dynamic-slice(%all-reduce.9, %multiply.3), dynamic_slice_sizes={25}
}"""
    assert read_collectives(text, 4) == [Collective('reduce-scatter', 400, 4)]


def test_a_reduce_scatter_of_several_arrays_counts_each_and_is_not_taken_for_another_of_its_channel():
    text = """
%all-reduce-scatter.8.clone.1 (a: bf16[100], b: f32[8]) -> (bf16[25], f32[2]) {
  %all-reduce.62 = (bf16[100]{0}, f32[8]{0}) all-reduce(%a, %b), channel_id=1, replica_groups={{0,1,2,3}}, to_apply=%add
  %get-tuple-element.1 = bf16[100]{0} get-tuple-element(%all-reduce.62), index=0
}
  %all-gather.1 = f32[100]{0} all-gather(%param.0), channel_id=1, replica_groups={{0,1,2,3}}, dimensions={0}"""
    assert read_collectives(text, 4) == [Collective('reduce-scatter', 232, 4), Collective('all-gather', 400, 4)]


@pytest.mark.parametrize(
    ('of_loop', 'in_condition', 'times'),
    [
        (
            '',
            '  %constant.4 = s32[]{:T(128)} constant(6)\n  ROOT %lt = pred[] compare(%i, %constant.4), direction=LT',
            6,
        ),
        (', backend_config={"known_trip_count":{"n":"7"}}', '  ROOT %c = pred[] compare(%i, %n), direction=LT', 7),
        ('', '  ROOT %c = pred[] compare(%i, %n), direction=LT', 1),
    ],
)
def test_what_happens_in_a_loop_happens_once_for_each_iteration(of_loop, in_condition, times):
    text = f"""
%gathers (p: f32[25]) -> f32[100] {{
  ROOT %all-gather.1 = f32[100]{{0}} all-gather(%p), channel_id=2, replica_groups={{{{0,1,2,3}}}}, dimensions={{0}}
}}
%condition.1 (i: s32[]) -> pred[] {{
{in_condition}
}}
%body.1 (x: f32[25]) -> f32[25] {{
  %fusion.1 = f32[100]{{0}} fusion(%x), kind=kCustom, calls=%gathers
  %fusion.2 = f32[100]{{0}} fusion(%x), kind=kCustom, calls=%gathers, metadata={{}}
}}
ENTRY %main (x: f32[25]) -> f32[25] {{
  ROOT %while.1 = f32[25]{{0}} while(%x), condition=%condition.1, body=%body.1{of_loop}
}}"""
    (one,) = read_collectives(text, 4)
    assert one == Collective('all-gather', 400, 4, 2 * times)
    assert hlo_collectives.by_kind([one]) == {'all-gather': (2 * times, 2 * times * 300.0)}


def test_an_asynchronous_collective_counts_once():
    text = """
  %all-gather-start.1 = (f32[25]{0}, f32[100]{0}) all-gather-start(%x), channel_id=2, replica_groups={{0,1,2,3}}
  %all-gather-done.1 = f32[100]{0} all-gather-done(%all-gather-start.1)
  %all-gather.31 = f32[100]{0} all-gather(%param.0), channel_id=2, replica_groups={{0,1,2,3}}, dimensions={0}
  %all-gather.37 = f32[100]{0} all-gather(%param.7), channel_id=5, replica_groups={{0,1,2,3}}, dimensions={0}"""
    assert read_collectives(text, 4) == [Collective('all-gather', 400, 4)] * 2


def test_a_group_of_one_exchanges_nothing():
    assert not read_collectives('%all-reduce.1 = f32[9]{0} all-reduce(%x), replica_groups={{0},{1}}', 2)


def test_kinds_add_up():
    found = [Collective('all-gather', 100, 4), Collective('all-gather', 300, 4), Collective('all-reduce', 100, 2)]
    assert hlo_collectives.by_kind(found) == {'all-reduce': (1, 100.0), 'all-gather': (2, 300.0)}
